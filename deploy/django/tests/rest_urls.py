"""Views of Django REST framework, with JSON Web Tokens."""

from django.urls import path
from rest_framework.response import Response
from rest_framework.views import APIView
from rest_framework_simplejwt.authentication import (
    JWTAuthentication,
    JWTStatelessUserAuthentication,
)
from rest_framework_simplejwt.views import TokenObtainPairView, TokenRefreshView

from django_audit_logger.decorators import no_request_log


class Who(APIView):
    authentication_classes = (JWTAuthentication,)

    def post(self, request):
        return Response({"user": request.user.pk, "got": list(request.data)})


class Stateless(Who):
    authentication_classes = (JWTStatelessUserAuthentication,)


class Fails(APIView):
    authentication_classes = ()
    permission_classes = ()

    def get(self, request):
        raise KeyError("on purpose")


@no_request_log
class Unlogged(Who):
    pass


urlpatterns = [
    path("token", TokenObtainPairView.as_view()),
    path("refresh", TokenRefreshView.as_view()),
    path("who", Who.as_view()),
    path("stateless", Stateless.as_view()),
    path("unlogged", Unlogged.as_view()),
    path("fails", Fails.as_view()),
]
