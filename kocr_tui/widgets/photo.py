"""The photo of one prediction, read in a thread and kept for the next time."""

from collections import OrderedDict

from textual import events, on, work
from textual.content import Content

from kocr_tui import format as fmt
from kocr_tui.messages import PhotoRead
from kocr_tui.reading.photo import PhotoError, read_photo
from kocr_tui.strings import say
from kocr_tui.widgets import ink
from kocr_tui.widgets.lines import Lines

KEPT_PHOTOS = 64
Key = tuple[str, int, int]


class Photo(Lines):
    """The picture in half cells, and its file's name below; in one line why there is none."""

    is_picture = True
    DEFAULT_CSS = "Photo { height: 1fr; }"

    def __init__(self) -> None:
        super().__init__("photo")
        self._path = ""
        self._kept: OrderedDict[Key, list[Content]] = OrderedDict()
        self._shown: Key | None = None

    def show_photo(self, path: str) -> None:
        """Shows the photo of that path; the one before stays until it has been read."""
        self._path = path
        key = self._key()
        if not path or not self.size.area or key == self._shown:
            return
        if key in self._kept:
            self._present(key)
        else:
            self.read(key)

    @work(thread=True, exclusive=True, group="photo")
    def read(self, key: Key) -> None:
        """Reads and shrinks a photo."""
        path, columns, rows = key
        try:
            picture = read_photo(path, columns, rows)
        except PhotoError as error:
            reason = "photo.gone" if error.gone else "photo.broken"
            picture = [ink.line(("✗ ", "bold $error"), say(reason))]
        self.post_message(PhotoRead(key, picture))

    @on(PhotoRead)
    def keep(self, message: PhotoRead) -> None:
        """Keeps what was read and shows it, if it is still wanted."""
        self._kept[message.key] = message.picture
        if len(self._kept) > KEPT_PHOTOS:
            self._kept.popitem(last=False)
        if message.key == self._key():
            self._present(message.key)

    def on_resize(self, _event: events.Resize) -> None:
        self._shown = None
        self.show_photo(self._path)

    def _key(self) -> Key:
        return self._path, self.size.width, max(1, self.size.height - 1)

    def _present(self, key: Key) -> None:
        self._kept.move_to_end(key)
        self._shown = key
        name = fmt.cut(fmt.visible(key[0].rsplit("/", 1)[-1]), key[1])
        self.show_rows([*self._kept[key], ink.line((name, "$text-muted"))])
