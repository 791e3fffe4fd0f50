"""The API extensions of this server: only what works. Clients decide by this list what they may ask."""

EXTENSIONS = [
    "storage", "container_last_used_at", "etag", "patch", "network", "profile_usedby", "network_leases",
    "entity_description", "operation_description", "event_lifecycle", "instances", "container_full", "projects",
    "instance_get_full", "api_filtering", "image_source_build",
]  # fmt: skip
