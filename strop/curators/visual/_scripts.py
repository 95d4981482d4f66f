"""Runs the drawing scripts of a model, and takes their pictures over as plain numbers."""

import numpy as np

from strop import sandbox
from strop.curators.visual import SIZE

LIMITS = sandbox.Limits(seconds=30, cpu=20, memory=1 << 30, disk=16 << 20, files=20)
NAMES = (*(f"follow_{n}.png" for n in range(5)), *(f"break_{n}.png" for n in range(3)))
_BYTES = SIZE * SIZE * 3
# a decoder of pictures is a large program that was never meant for hostile files, so the pictures are decoded in the
# sandbox too, and what comes out of it is bytes of one fixed length
_DECODE = f"""
import os
from PIL import Image
Image.MAX_IMAGE_PIXELS = 4_000_000
for name in os.listdir("in"):
    picture = Image.open("in/" + name, formats=["PNG"])
    if picture.width * picture.height <= Image.MAX_IMAGE_PIXELS:
        clear = picture.convert("RGBA")
        flat = Image.alpha_composite(Image.new("RGBA", clear.size, "white"), clear).convert("RGB")
        open("out/" + name, "wb").write(flat.resize(({SIZE}, {SIZE}), Image.Resampling.BOX).tobytes())
"""


def draw_group(follow: str, broken: str, *, unsandboxed: bool = False) -> tuple[np.ndarray, ...] | str:
    """Five pictures that follow and three that break a rule; or in a few words why there are none."""
    files: dict[str, bytes] = {}
    for script, names in ((follow, NAMES[:5]), (broken, NAMES[5:])):
        done = sandbox.run_python(script, {}, LIMITS, unsandboxed=unsandboxed)
        if done.stopped:
            return f"script beyond its limits ({done.stopped})"
        if done.status != 0:
            return "script failed"
        if not set(names) <= set(done.files):
            return "script left pictures out"
        files |= {name: done.files[name] for name in names}
    if sum(map(len, files.values())) > LIMITS.disk // 2:
        return "pictures too large"
    done = sandbox.run_python(_DECODE, files, LIMITS, unsandboxed=unsandboxed)
    pixels = [done.files.get(name, b"") for name in NAMES]
    if any(len(each) != _BYTES for each in pixels):
        return "not a picture"
    return tuple(np.frombuffer(each, dtype=np.uint8).reshape(SIZE, SIZE, 3) for each in pixels)
