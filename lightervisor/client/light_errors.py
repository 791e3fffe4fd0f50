"""What a server's refusal becomes in a client."""

from lightervisor.errors import Failure


class ApiError(Failure):
    """The server answered with an error; `code` is its status."""

    def __init__(self, text: str, code: int) -> None:
        super().__init__("request", text=text)
        self.code = code
