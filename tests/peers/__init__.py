"""Our daemon and client beside the real LXD and Incus, over TLS on loopback, in both directions.

A package, so that its daemons live for all of its modules and no longer.
"""
