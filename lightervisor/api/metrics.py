"""/1.0/metrics. Source: LXD REST API, metrics; OpenMetrics.

Who comes through `core.metrics_address` may ask for these paths only.
"""

import os
import time
from pathlib import Path

from aiohttp import web

from lightervisor.api import callers
from lightervisor.api.requests import project, refuse_member
from lightervisor.api.services import Services, services
from lightervisor.auth.caller import Level, refused
from lightervisor.model.metrics import Samples, merged

PATHS = frozenset(("/", "/1.0", "/1.0/metrics"))
_TICKS, _PAGE = os.sysconf("SC_CLK_TCK"), os.sysconf("SC_PAGE_SIZE")
_STARTED = time.monotonic()


async def show(request: web.Request) -> web.StreamResponse:
    """GET /1.0/metrics: all instances', or those of one project, which is all that restricted callers get."""
    refuse_member(request)
    found, caller = services(request), callers.of(request)
    where = project(request) if request.query.get("project") else None
    if caller.level is Level.RESTRICTED:
        where = where or "default"
        if not caller.may_enter(where):
            raise refused()
    parts = [await found.metrics.get(where)]
    if where is None:
        parts.append(_own(found))
    return web.Response(text=merged(parts).text(), content_type="text/plain")


def _own(found: Services) -> Samples:
    """What the server tells of itself."""
    samples = Samples()
    running = [one for one in found.operations.list(None) if one.status == "Running" and one.class_ != "token"]
    samples.add("lxd_operations_total", "", len(running))
    samples.add("lxd_warnings_total", "", sum(one.status != "resolved" for one in found.warnings.list()))
    samples.add("lxd_uptime_seconds", "", round(time.monotonic() - _STARTED, 3))
    fields = Path("/proc/self/stat").read_text().rpartition(")")[2].split()
    samples.add("process_cpu_seconds_total", "", (int(fields[11]) + int(fields[12])) / _TICKS)
    samples.add("process_virtual_memory_bytes", "", int(fields[20]))
    samples.add("process_resident_memory_bytes", "", int(fields[21]) * _PAGE)
    samples.add("process_open_fds", "", sum(1 for _ in Path("/proc/self/fd").iterdir()))
    return samples


ROUTES = [web.get("/1.0/metrics", show)]
