"""Views that read requests and answer in every way that is different for the middleware."""

import asyncio
import json

from django.contrib import admin
from django.http import FileResponse, HttpResponse, JsonResponse, StreamingHttpResponse
from django.urls import path
from django.utils.decorators import method_decorator
from django.views import View
from django.views.decorators.csrf import csrf_exempt, csrf_protect

from django_audit_logger.decorators import no_body_log, no_request_log


def hello(request):
    return HttpResponse("hello", content_type="text/plain")


@csrf_exempt
def echo(request):
    """Reads request.body, a stream, or a form, depending on ?how=."""
    how = request.GET.get("how", "body")
    if "who" in request.GET:
        request.session.get("anything")
    if how == "body":
        data = request.body
    elif how == "stream":
        data = b"".join(iter(lambda: request.read(7), b""))
    elif how == "form":
        data = json.dumps(dict(request.POST.lists())).encode()
    else:
        data = b"not read"
    return HttpResponse(data, content_type=request.GET.get("as", "application/json"))


@csrf_exempt
def total(request):
    """Puts a number into a copy of the form, as shops do."""
    request.POST = request.POST.copy()
    request.POST["total"] = 3
    return HttpResponse("ok", content_type="text/plain")


@csrf_exempt
def broken_form(request):
    """Replaces the form by another object."""
    request.POST
    request._post = 7
    return HttpResponse("ok", content_type="text/plain")


@no_request_log
def unlogged(request):
    return HttpResponse("unlogged", content_type="text/plain")


@csrf_protect
@no_body_log
def bodiless(request):
    return HttpResponse("a secret text", content_type="text/plain")


@no_body_log
async def async_bodiless(request):
    return HttpResponse("a secret text", content_type="text/plain")


@method_decorator(no_body_log, name="dispatch")
class ByMethod(View):
    def get(self, request):
        return HttpResponse("a secret text", content_type="text/plain")


@no_request_log
class ByClass(View):
    def get(self, request):
        return HttpResponse("unlogged", content_type="text/plain")


def login(request):
    request.session["_auth_user_id"] = "42"
    response = JsonResponse({"token": "t0p", "user": "jo"})
    response.set_cookie("csrf", "s3cret")
    return response


def stream(request):
    return StreamingHttpResponse(iter([b"a", b"b"]), status=202)


def fail(request):
    raise ValueError("on purpose")


def binary(request):
    return HttpResponse(b"\x00\xff", content_type="image/png")


def nul(request):
    return HttpResponse("a\x00b", content_type="text/plain")


def file(request):
    return FileResponse(open(__file__, "rb"))


async def slow(request):
    await asyncio.sleep(0.01)
    return HttpResponse("slept", content_type="text/plain")


urlpatterns = [
    path("admin/", admin.site.urls),
    path("hello", hello),
    path("health/", hello),
    path("style.css", hello),
    path("echo", echo),
    path("login", login),
    path("total", total),
    path("unlogged", unlogged),
    path("bodiless", bodiless),
    path("async_bodiless", async_bodiless),
    path("by_method", ByMethod.as_view()),
    path("by_class", ByClass.as_view()),
    path("reset/<uid>/<token>/", lambda request, uid, token: hello(request)),
    path("broken_form", broken_form),
    path("stream", stream),
    path("fail", fail),
    path("binary", binary),
    path("nul", nul),
    path("file", file),
    path("slow", slow),
]
