"""When words of the program and of the image arrive: bursts, latency, a shared bus, and FIFOs with limited room."""

from __future__ import annotations

import math

from flows.contracts.hardware import HardwareConfig, ceil_div
from flows.contracts.timing import Timing


class Reader:
    """Two clients, program and image, share one read channel in the order of their requests.

    A burst of either is requested when its FIFO has room for all of it; while the image is on its way, the program is
    not requested far ahead. The image is taken as it arrives; the program
    is taken by :meth:`take`.

    Parameters
    ----------
    stream_words, image_words : lengths of the two transfers
    rate : words per cycle
    latency : cycles from request to first word
    config : bursts and depths of the FIFOs
    timing : constants of the hardware
    """

    def __init__(self, stream_words: int, image_words: int, rate: float, latency: int,
                 config: HardwareConfig, timing: Timing) -> None:
        self.rate, self.latency, self.timing = rate, latency, timing
        self.burst = timing.burst_words(config)
        self.stream_words, self.image_words = stream_words, image_words
        self.ahead = max(1, config.fifo_words // self.burst)
        self.limit = max(1, timing.ahead_bytes // config.stream_bytes // self.burst)
        self.image_ahead = max(1, config.image_fifo_words // self.burst)
        self.bus_free = float(timing.start)
        self.first: list[float] = []       # arrival of the first word of each program burst
        self.consumed: list[int] = []      # when the last word of each program burst was taken
        self.image_from = math.inf         # when the image is requested: HELLO says how long it is
        self.image: list[float] = []       # arrival of the last word of each image burst

    def take(self, position: int, words: int, now: int, cost: int) -> int:
        """Cycle after the decoder has taken ``words`` words from ``position`` on, beginning at ``now``."""
        while words:
            burst, offset = divmod(position, self.burst)
            count = min(words, self.burst - offset)
            self._fetch(burst, now)
            last = self.first[burst] + (offset + count) / self.rate + self.timing.read_pipe
            now = max(now + count * cost, math.ceil(last))
            position, words = position + count, words - count
            if offset + count == self.burst:
                self.consumed.append(now)
        return now

    def request_image(self, now: float) -> None:
        """The image's first burst may be requested."""
        self.image_from = now

    def image_arrival(self, words: int) -> int:
        """Cycle in which the first ``words`` words of the image are stored."""
        burst = ceil_div(words, self.burst) - 1
        while len(self.image) <= burst:
            if self._program_request() <= self._image_request():
                self._fetch_program()
            else:
                self._fetch_image()
        rest = (min((burst + 1) * self.burst, self.image_words) - words) / self.rate
        return math.ceil(self.image[burst] - rest) + self.timing.read_pipe

    def _fetch(self, burst: int, now: int) -> None:
        """Place bursts on the bus in the order of their requests: all before ``now``, and those up to ``burst``."""
        while True:
            program, image = self._program_request(), self._image_request()
            if len(self.first) > burst and min(program, image) > now:
                return
            if program <= image:
                self._fetch_program()
            else:
                self._fetch_image()

    def _program_request(self) -> float:
        index = len(self.first)
        ahead = self.ahead if self._image_complete() else min(self.ahead, self.limit)
        if index * self.burst >= self.stream_words or index - ahead >= len(self.consumed):
            return math.inf
        return float(self.timing.start if index < ahead else self.consumed[index - ahead] + self.timing.read_pipe)

    def _image_complete(self) -> bool:
        return len(self.image) * self.burst >= self.image_words

    def _image_request(self) -> float:
        index = len(self.image)
        if self._image_complete():
            return math.inf
        return self.image_from if index < self.image_ahead \
            else self.image[index - self.image_ahead] + self.timing.read_pipe

    def _fetch_program(self) -> None:
        begin = max(self._program_request() + self.latency, self.bus_free)
        self.bus_free = begin + min(self.burst, self.stream_words - len(self.first) * self.burst) / self.rate
        self.first.append(begin)

    def _fetch_image(self) -> None:
        begin = max(self._image_request() + self.latency, self.bus_free)
        self.bus_free = begin + min(self.burst, self.image_words - len(self.image) * self.burst) / self.rate
        self.image.append(self.bus_free)
