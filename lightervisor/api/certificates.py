"""/1.0/certificates: the trust store. Source: LXD REST API, certificates."""

import msgspec
from aiohttp import web

from lightervisor.api import callers, envelope, etag, peers, urls
from lightervisor.api.requests import body, raw_body, recursion
from lightervisor.api.services import services
from lightervisor.auth.caller import refused
from lightervisor.model.certificate import CertificatePut, CertificatesPost
from lightervisor.model.decode import decode


async def everything(request: web.Request) -> web.StreamResponse:
    """GET /1.0/certificates: all of them, or one's own for a restricted client."""
    found = services(request).trust.store.list(callers.of(request))
    return envelope.sync(found if recursion(request) else [urls.of("certificates", one.fingerprint) for one in found])


async def add(request: web.Request) -> web.StreamResponse:
    """POST /1.0/certificates: trust a client, as an administrator or with a password or token; or issue a token."""
    found, caller = services(request), callers.of(request)
    post = await body(request, CertificatesPost)
    if post.token:
        if not caller.is_admin:
            raise refused()
        environment = found.environment()
        return envelope.background(
            found.trust.tokens.issue(post, environment.certificate_fingerprint, environment.addresses)
        )
    made = await found.trust.join(caller, post, peers.certificates(request), callers.host(request))
    return envelope.created(urls.of("certificates", made.fingerprint))


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/certificates/{fingerprint}."""
    one = services(request).trust.store.get(callers.of(request), request.match_info["fingerprint"])
    return envelope.sync(one, etag=etag.of(one))


async def replace(request: web.Request) -> web.StreamResponse:
    """PUT /1.0/certificates/{fingerprint}."""
    store, caller, put = services(request).trust.store, callers.of(request), await body(request, CertificatePut)
    present = store.get(caller, request.match_info["fingerprint"])
    etag.check(request.headers.get("If-Match"), etag.of(present))
    await store.replace(caller, present, put)
    return envelope.sync()


async def merge(request: web.Request) -> web.StreamResponse:
    """PATCH /1.0/certificates/{fingerprint}: what is not given stays."""
    store, caller, text = services(request).trust.store, callers.of(request), await raw_body(request)
    present = store.get(caller, request.match_info["fingerprint"])
    etag.check(request.headers.get("If-Match"), etag.of(present))
    given, put = decode(text, dict[str, object]), decode(text, CertificatePut)
    kept = {name: getattr(present, name) for name in CertificatePut.__struct_fields__ if name not in given}
    await store.replace(caller, present, msgspec.structs.replace(put, **kept))
    return envelope.sync()


async def delete(request: web.Request) -> web.StreamResponse:
    """DELETE /1.0/certificates/{fingerprint}."""
    store, caller = services(request).trust.store, callers.of(request)
    await store.delete(caller, store.get(caller, request.match_info["fingerprint"]))
    return envelope.sync()


ONE = "/1.0/certificates/{fingerprint}"
ROUTES = [
    web.get("/1.0/certificates", everything),
    web.post("/1.0/certificates", add),
    web.get(ONE, show),
    web.put(ONE, replace),
    web.patch(ONE, merge),
    web.delete(ONE, delete),
]
