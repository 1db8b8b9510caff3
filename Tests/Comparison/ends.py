# How streams end: half-close, resets, and what a cut stream looks like to its reader.
import socket
import time

from scene import (
    ENDED, MEBIBYTE, PATIENCE, RESET, Background, Received, Scene, fill, reset, send_pieces)

QUIET = 1  # seconds between the first half's end and the second half's bytes
AT_ONCE = 0.25


def half_close(peer):
    """Either end finishes sending first, and gets a mebibyte from the other a second later."""
    with Scene(peer) as scene:
        asking, telling = scene.pair(), scene.pair()
        results = [Background(lambda pair=pair: _second_half(*pair))
                   for pair in (asking, (telling[1], telling[0]))]
        from_client, from_target = (x.wait() or "no answer" for x in results)
    return both_ways(from_client, from_target)


def _second_half(first, second):
    first.shutdown(socket.SHUT_WR)
    began = time.monotonic()
    if Received(second).end != ENDED:
        return "not told"
    first.settimeout(QUIET)
    try:
        first.recv(1)
        cut = time.monotonic() - began
        return "cut at once" if cut < AT_ONCE else f"cut within {QUIET} s"
    except TimeoutError:
        pass
    sending = Background(lambda: send_pieces(second, 1))
    is_whole = Received(first).is_whole(1)
    sending.wait()
    return "yes" if is_whole else "bytes missing"


def reset_by_client(peer):
    with Scene(peer) as scene:
        client, upstream = scene.pair()
        return _told_of_reset(client, upstream)


def reset_by_target(peer):
    with Scene(peer) as scene:
        client, upstream = scene.pair()
        return _told_of_reset(upstream, client)


def _told_of_reset(breaking, other):
    reset(breaking)
    end = Received(other, patience=2).end
    return {RESET: "yes", ENDED: "an end instead"}.get(end, "nothing for 2 s")


def cut_stream(peer):
    """An end breaks off in the middle of a stream that its reader has not read yet."""
    with Scene(peer) as scene:
        client, upstream = scene.pair()
        to_client = _looks_cut(upstream, client)
        client, upstream = scene.pair()
        to_target = _looks_cut(client, upstream)
    return both_ways(to_target, to_client)


def both_ways(to_target, to_client):
    """One word for both directions where one will do."""
    if to_target == to_client:
        return to_target
    if "yes" in (to_target, to_client):
        return f"to the {'target' if to_target == 'yes' else 'client'} only"
    return f"to the target {to_target}, to the client {to_client}"


def _looks_cut(breaking, reader):
    sent = fill(breaking)
    reset(breaking)
    got = Received(reader, patience=2)
    if got.count >= sent or sent < MEBIBYTE // 4:
        raise RuntimeError(f"not cut: {got.count} of {sent} bytes arrived")
    return {RESET: "yes", ENDED: "looks complete"}.get(got.end, f"nothing for {PATIENCE} s")
