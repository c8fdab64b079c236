"""Views of the project with the usual middleware."""

from django.http import HttpResponse
from django.middleware.csrf import get_token
from django.urls import path


def long(request):
    return HttpResponse("a long text, " * 100 + "Bearer hush1234567890", content_type="text/plain")


def form(request):
    return HttpResponse(get_token(request) and "form", content_type="text/plain")


def who(request):
    request.session["_auth_user_id"] = "42"
    return HttpResponse("who", content_type="text/plain")


urlpatterns = [path("long/", long), path("form/", form), path("who/", who)]
