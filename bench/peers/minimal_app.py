"""The least that Textual can show."""

from textual.app import App, ComposeResult
from textual.widgets import Static


class MinimalApp(App[None]):
    def compose(self) -> ComposeResult:
        yield Static("milepost")


if __name__ == "__main__":
    MinimalApp().run()
