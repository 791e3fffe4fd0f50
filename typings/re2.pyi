"""What is used of google-re2, which brings no types."""

class error(Exception): ...
class Match: ...

class Options:
    case_sensitive: bool
    log_errors: bool
    max_mem: int

class Regex:
    def search(self, text: str) -> Match | None: ...

def compile(pattern: str, options: Options) -> Regex: ...
