"""What a server's refusal becomes in a client."""

from lightervisor.errors import Failure


class ApiError(Failure):
    """The server answered with an error; `code` is its status."""

    def __init__(self, text: str, code: int, remedy: str = "") -> None:
        super().__init__("request", text=text, remedy=remedy)
        self.code = code
