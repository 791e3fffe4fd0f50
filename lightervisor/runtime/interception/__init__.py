"""The interceptor: a process that does for containers what their own root may not, call by call, when keys allow it."""
