"""The next name of a snapshot by a pattern that may be a template. Source: LXD, `snapshots.pattern`."""

from collections.abc import Collection, Mapping
from datetime import datetime

from lightervisor.config import numbering
from lightervisor.kernel.threads import in_thread
from lightervisor.templates.renderer import Job, Renderer


async def next_name(
    renderer: Renderer, config: Mapping[str, str], moment: datetime, known: Collection[str], *, owner: str
) -> str:
    """The name of a snapshot that is taken at a moment of what has this name and configuration.

    `known` are the snapshots that there are. Raises Invalid for a template that cannot be rendered.
    """
    pattern = config.get("snapshots.pattern") or numbering.DEFAULT_PATTERN
    if "{{" in pattern or "{%" in pattern:
        variables = {"creation_date": int(moment.timestamp())}
        job = Job(name="snapshots.pattern", template=pattern.encode(), variables=variables)
        texts = await in_thread(lambda: renderer.render([job], config, instance=owner))
        pattern = texts[0].decode(errors="replace")
    return numbering.following(pattern, known)
