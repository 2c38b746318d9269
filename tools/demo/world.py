"""The world of the demo model: which things there are, how they look, and where they stand.

A picture shows a background by day or by night, in some weather, with up to six things. They stand in three columns
(left, centre, right) of two rows. The row depends on the kind: houses, trees, cats and others stand on the ground; the
sun, birds, balloons and others are in the sky. A scene, a size and a jitter of a few pixels determine the picture
completely. So little is left to chance that a very small network can learn it.
"""

import dataclasses
import math
import random

from PIL import Image, ImageDraw

GROUND = ["house", "tree", "flower", "car", "boat", "fish", "cat", "mushroom", "ball"]
SKY = ["sun", "moon", "star", "cloud", "balloon", "bird", "heart"]
KINDS = GROUND + SKY
PALETTE = {
    "red": (222, 56, 56), "orange": (244, 138, 40), "yellow": (250, 210, 60), "green": (66, 160, 80),
    "blue": (56, 106, 214),
    "purple": (138, 80, 188), "pink": (246, 150, 188), "white": (250, 250, 246), "black": (50, 50, 60),
    "brown": (144, 92, 58),
}  # fmt: skip
COLOURS = list(PALETTE)
SIZES = ["small", "large"]
COLUMNS = ["left", "centre", "right"]
BACKGROUNDS = ["meadow", "sea", "snow", "desert", "mountains", "city"]
WEATHERS = ["clear", "rain", "snowfall"]

# The colour of a thing if none is named.
USUAL = {
    "house": "red", "tree": "green", "flower": "pink", "car": "blue", "boat": "brown", "fish": "orange",
    "cat": "orange",
    "mushroom": "red", "ball": "blue", "sun": "yellow", "moon": "white", "star": "yellow", "cloud": "white",
    "balloon": "red",
    "bird": "blue", "heart": "pink",
}  # fmt: skip

# The model's native square, and the sizes of the eight aspect ratios when they are scaled to its area.
NATIVE = 192
ASPECTS = {
    "square": (192, 192), "landscape": (240, 144), "portrait": (144, 240), "photo": (224, 144), "photo_v": (144, 224),
    "standard": (208, 160), "standard_v": (160, 208), "wide": (288, 112),
}  # fmt: skip

_SKY = {
    "meadow": (176, 220, 244), "sea": (196, 230, 244), "snow": (196, 210, 228), "desert": (250, 228, 192),
    "mountains": (206, 222, 240), "city": (222, 216, 234),
}  # fmt: skip
_LAND = {
    "meadow": (152, 206, 118), "sea": (98, 170, 204), "snow": (232, 238, 247), "desert": (232, 200, 142),
    "mountains": (164, 190, 128), "city": (174, 172, 182),
}  # fmt: skip
_NIGHT_SKY, _NIGHT = (42, 48, 102), (28, 34, 84)
_RAIN_SKY, _SNOW_SKY = (146, 162, 182), (202, 208, 220)
_DARK, _CREAM, _WOOD, _LEAF = (74, 58, 66), (255, 244, 214), (118, 82, 62), (60, 132, 66)
_SUPERSAMPLING = 4


@dataclasses.dataclass
class Thing:
    """One thing. dx and dy are its jitter in native pixels, see scale_of."""

    kind: str
    colour: str
    size: str
    column: str
    dx: float = 0.0
    dy: float = 0.0

    @property
    def row(self):
        return "ground" if self.kind in GROUND else "sky"

    @property
    def slot(self):
        """The index of its place, 0 to 5: left, centre, right on the ground, then in the sky."""
        return COLUMNS.index(self.column) + (3 if self.row == "sky" else 0)


@dataclasses.dataclass
class Scene:
    background: str = "meadow"
    night: bool = False
    weather: str = "clear"
    things: list = dataclasses.field(default_factory=list)

    def copy(self):
        return Scene(self.background, self.night, self.weather, [dataclasses.replace(t) for t in self.things])

    def at(self, slot):
        return next((t for t in self.things if t.slot == slot), None)


JITTER = (4.0, 2.0)


def jitter(scene, rng):
    """Moves all things of a scene by the same random distance, up to JITTER, and returns the scene."""
    dx, dy = rng.uniform(-JITTER[0], JITTER[0]), rng.uniform(-JITTER[1], JITTER[1])
    for t in scene.things:
        t.dx, t.dy = dx, dy
    return scene


def mix(a, b, share):
    return tuple(round(x + (y - x) * share) for x, y in zip(a, b))


def outline_of(colour):
    """Returns the colour of an outline that separates a thing from any background: a darker shade, or a lighter one for
    black, which may stand in the night."""
    return {"black": (128, 128, 146), "white": (138, 142, 164)}.get(colour) or mix(PALETTE[colour], (30, 20, 50), 0.42)


def scale_of(size):
    """Returns the size of a native pixel in a picture of the given size (width, height)."""
    return min(size[0] / 192, size[1] / 160, 1 if max(size) <= 300 else 99)


def place(thing, scene, size):
    """Returns the centre x, y and the radius of a thing, in pixels."""
    width, height = size
    scale = scale_of(size)
    crowd = sum(t.row == thing.row for t in scene.things)
    radius = (36 if thing.size == "large" else 24) * scale * (0.8 if crowd == 3 else 1)
    x = width * (0.21, 0.5, 0.79)[COLUMNS.index(thing.column)] + thing.dx * scale
    if thing.row == "sky":
        radius *= 0.83
        return x, height * 0.23 + thing.dy * scale, radius
    return x, height * 0.87 - radius + thing.dy * scale, radius


class _Pen:
    """Draws filled shapes with an outline around their union. Coordinates are pixels of the finished picture."""

    def __init__(self, image, scale):
        self.draw, self.s, self.line = ImageDraw.Draw(image), _SUPERSAMPLING, 1.5 * scale

    def flat(self, shape, fill, grow=0.0):
        s, what = self.s, shape[0]
        if what == "ellipse":
            _, x, y, rx, ry = shape
            self.draw.ellipse([(x - rx - grow) * s, (y - ry - grow) * s, (x + rx + grow) * s, (y + ry + grow) * s],
                fill=fill)
        elif what == "rect":
            _, x0, y0, x1, y1 = shape
            self.draw.rectangle([(x0 - grow) * s, (y0 - grow) * s, (x1 + grow) * s - 1, (y1 + grow) * s - 1], fill=fill)
        else:
            points = [(x * s, y * s) for x, y in shape[1]]
            self.draw.polygon(points, fill=fill)
            if grow:
                self.draw.line(points + points[:2], fill=fill, width=round(2 * grow * s), joint="curve")

    def shapes(self, shapes, fill, edge):
        for shape in shapes:
            self.flat(shape, edge, self.line)
        for shape in shapes:
            self.flat(shape, fill)


def _backdrop(pen, scene, size):
    width, height = size
    scale = scale_of(size)
    horizon = height * 0.62
    sky, land = _SKY[scene.background], _LAND[scene.background]
    far = {"meadow": (124, 182, 104), "snow": (212, 222, 238), "desert": (216, 178, 118), "mountains": (150, 158, 186),
        "city": (150, 146, 170)}.get(scene.background, land)
    if scene.weather == "rain":
        sky, land, far = mix(sky, _RAIN_SKY, 0.75), mix(land, _RAIN_SKY, 0.25), mix(far, _RAIN_SKY, 0.25)
    elif scene.weather == "snowfall":
        sky, land, far = mix(sky, _SNOW_SKY, 0.75), mix(land, (240, 243, 250), 0.45), mix(far, (240, 243, 250), 0.3)
    if scene.night:
        sky, land, far = mix(sky, _NIGHT_SKY, 0.92), mix(land, _NIGHT, 0.62), mix(far, _NIGHT, 0.68)
    pen.flat(("rect", 0, 0, width, height), sky)
    if scene.night and scene.weather == "clear":
        for x, y in ((0.07, 0.10), (0.17, 0.32), (0.33, 0.07), (0.36, 0.40), (0.63, 0.42), (0.66, 0.06), (0.87, 0.38),
            (0.94, 0.09)):
            pen.flat(("ellipse", x * width, y * height, 1.3 * scale, 1.3 * scale), (206, 210, 236))
    if scene.background in ("meadow", "snow", "desert"):
        pen.flat(("ellipse", 0.22 * width, horizon + 0.12 * height, 0.5 * width, 0.2 * height), far)
        pen.flat(("ellipse", 0.86 * width, horizon + 0.12 * height, 0.38 * width, 0.16 * height), mix(far, land, 0.4))
    elif scene.background == "mountains":
        for x, top, half in ((0.2, 0.24, 0.3), (0.8, 0.2, 0.34), (0.5, 0.34, 0.26)):
            pen.flat(("polygon", [((x - half) * width, horizon), (x * width, top * height),
                ((x + half) * width, horizon)]), mix(far, sky, 0.35 if x == 0.5 else 0.12))
            snow = (horizon / height - top) * 0.28
            cap = half * 0.28
            pen.flat(("polygon", [((x - cap) * width, (top + snow) * height), (x * width, top * height),
                ((x + cap) * width, (top + snow) * height)]), mix((246, 248, 252), sky, 0.35 if scene.night else 0.0))
    elif scene.background == "city":
        for x, top, half in ((0.06, 0.36, 0.05), (0.17, 0.24, 0.05), (0.29, 0.42, 0.06), (0.42, 0.3, 0.05),
            (0.55, 0.38, 0.06), (0.69, 0.2, 0.05), (0.8, 0.4, 0.05), (0.93, 0.3, 0.06)):
            pen.flat(("rect", (x - half) * width, top * height, (x + half) * width, horizon), mix(far, sky, 0.3))
    pen.flat(("rect", 0, horizon, width, height), land)
    if scene.background == "sea":
        for y in (0.72, 0.83, 0.94):
            pen.flat(("rect", 0, y * height, width, y * height + 2.5 * scale),
                mix(land, (255, 255, 255), 0.3 if not scene.night else 0.12))
    elif scene.background == "city":
        pen.flat(("rect", 0, 0.93 * height, width, 0.93 * height + 3 * scale),
            mix(land, (255, 255, 255), 0.5 if not scene.night else 0.2))
    # Rain and snow fall in a lattice with the size of a token, so that every token looks the same.
    if scene.weather == "rain":
        drop = mix(sky, (255, 255, 255), 0.4)
        for i in range(width // 16 + 1):
            for j in range(height // 16 + 1):
                x, y = i * 16 + 10, j * 16 + 3 + (i % 2) * 6
                pen.flat(("polygon", [(x, y), (x + 1.6, y), (x - 1.4, y + 8), (x - 3, y + 8)]), drop)
    elif scene.weather == "snowfall":
        for i in range(width // 16 + 1):
            for j in range(height // 16 + 1):
                pen.flat(("ellipse", i * 16 + 5 + (j % 2) * 6, j * 16 + 8, 1.9, 1.9), (252, 253, 255))


def _thing(pen, thing, cx, cy, r):
    fill, edge = PALETTE[thing.colour], outline_of(thing.colour)
    shade = mix(fill, edge, 0.45)
    light = mix(fill, (255, 255, 255), 0.55)
    X = lambda u: cx + u * r
    Y = lambda v: cy + v * r
    ell = lambda u, v, ru, rv: ("ellipse", X(u), Y(v), ru * r, rv * r)
    rect = lambda u0, v0, u1, v1: ("rect", X(u0), Y(v0), X(u1), Y(v1))
    poly = lambda *points: ("polygon", [(X(u), Y(v)) for u, v in points])
    kind = thing.kind
    if kind == "house":
        pen.shapes([rect(-0.72, -0.2, 0.72, 1)], fill, edge)
        pen.shapes([poly((-0.98, -0.15), (0, -0.95), (0.98, -0.15))], shade, edge)
        pen.flat(rect(-0.18, 0.38, 0.18, 1), _DARK)
        for u in (-0.58, 0.28):
            pen.flat(rect(u, 0.08, u + 0.3, 0.4), _CREAM)
    elif kind == "tree":
        pen.shapes([rect(-0.15, 0.2, 0.15, 1)], _WOOD, mix(_WOOD, (30, 20, 50), 0.4))
        pen.shapes([ell(0, -0.4, 0.58, 0.56), ell(-0.42, 0.02, 0.4, 0.38), ell(0.42, 0.02, 0.4, 0.38)], fill, edge)
    elif kind == "flower":
        pen.shapes([rect(-0.07, 0, 0.07, 1), ell(0.3, 0.62, 0.25, 0.13), ell(-0.3, 0.72, 0.25, 0.13)], _LEAF,
            mix(_LEAF, (30, 20, 50), 0.4))
        pen.shapes([ell(0.42 * math.cos(k * math.pi / 3), -0.38 + 0.42 * math.sin(k * math.pi / 3), 0.26, 0.26)
            for k in range(6)], fill, edge)
        pen.flat(ell(0, -0.38, 0.24, 0.24), _DARK if thing.colour == "yellow" else (255, 222, 110))
    elif kind == "car":
        pen.shapes([rect(-0.98, 0.12, 0.98, 0.72), poly((-0.66, 0.15), (-0.44, -0.42), (0.4, -0.42), (0.7, 0.15))],
            fill, edge)
        for a, b, c, d in ((-0.48, -0.33, -0.04, -0.04), (0.08, 0.08, 0.34, 0.5)):
            pen.flat(poly((a, 0.1), (b, -0.26), (c, -0.26), (d, 0.1)), (206, 232, 244))
        for u in (-0.54, 0.54):
            pen.flat(ell(u, 0.72, 0.28, 0.28), (46, 44, 54))
            pen.flat(ell(u, 0.72, 0.12, 0.12), (196, 196, 204))
    elif kind == "boat":
        pen.flat(rect(-0.06, -0.95, 0.06, 0.5), _DARK)
        pen.shapes([poly((0.14, -0.9), (0.14, 0.28), (0.84, 0.28))], _CREAM, mix(_CREAM, _DARK, 0.4))
        pen.shapes([poly((-0.14, -0.6), (-0.14, 0.28), (-0.64, 0.28))], _CREAM, mix(_CREAM, _DARK, 0.4))
        pen.shapes([poly((-0.98, 0.42), (0.98, 0.42), (0.62, 1), (-0.62, 1))], fill, edge)
    elif kind == "fish":
        pen.shapes([poly((0.35, 0.35), (0.98, -0.1), (0.98, 0.8))], shade, edge)
        pen.shapes([ell(-0.2, 0.35, 0.76, 0.5)], fill, edge)
        pen.flat(poly((-0.2, 0.22), (0.2, 0.5), (-0.2, 0.62)), shade)
        pen.flat(ell(-0.6, 0.22, 0.14, 0.14), (255, 255, 255))
        pen.flat(ell(-0.63, 0.22, 0.07, 0.07), (24, 22, 30))
    elif kind == "cat":
        pen.shapes([ell(0.62, 0.55, 0.34, 0.14), ell(0, 0.5, 0.5, 0.5)], fill, edge)
        pen.shapes([ell(0, -0.3, 0.52, 0.44), poly((-0.5, -0.35), (-0.46, -0.95), (-0.1, -0.68)),
            poly((0.5, -0.35), (0.46, -0.95), (0.1, -0.68))], fill, edge)
        for u in (-0.2, 0.2):
            pen.flat(ell(u, -0.34, 0.1, 0.12), (255, 255, 250))
            pen.flat(ell(u, -0.34, 0.05, 0.1), (24, 22, 30))
        pen.flat(poly((-0.09, -0.14), (0.09, -0.14), (0, -0.04)), (246, 150, 160) if thing.colour != "pink" else _DARK)
    elif kind == "mushroom":
        pen.shapes([rect(-0.26, 0, 0.26, 0.98)], _CREAM, mix(_CREAM, _DARK, 0.45))
        pen.shapes([("polygon",
            [(X(0.92 * math.cos(a)), Y(0.12 - 0.95 * math.sin(a))) for a in [k * math.pi / 16 for k in range(17)]])],
            fill, edge)
        for u, v, q in ((-0.42, -0.22, 0.15), (0.08, -0.5, 0.17), (0.48, -0.14, 0.14)):
            pen.flat(ell(u, v, q, q), _CREAM if thing.colour != "white" else (214, 196, 190))
    elif kind == "ball":
        pen.shapes([ell(0, 0.28, 0.72, 0.72)], fill, edge)
        pen.flat(poly((-0.68, 0.1), (0.68, 0.1), (0.68, 0.44), (-0.68, 0.44)),
            _CREAM if thing.colour != "white" else (222, 206, 196))
        pen.flat(ell(-0.28, -0.16, 0.16, 0.1), light)
    elif kind == "sun":
        rays = [poly(*[(q * math.cos(a + d), q * math.sin(a + d)) for d, q in ((-0.24, 0.6), (0, 1.0), (0.24, 0.6))])
            for a in [k * math.pi / 4 for k in range(8)]]
        pen.shapes(rays + [ell(0, 0, 0.6, 0.6)], fill, edge)
    elif kind == "moon":
        outer = [(0.85 * math.cos(a), 0.85 * math.sin(a)) for a in [math.radians(50 + 260 * k / 24) for k in range(25)]]
        inner = [(0.34 + 0.68 * math.cos(a), 0.68 * math.sin(a))
            for a in [math.radians(287 - 214 * k / 20) for k in range(21)]]
        pen.shapes([poly(*(outer + inner))], fill, edge)
    elif kind == "star":
        spikes = [((0.98 if k % 2 == 0 else 0.44), -math.pi / 2 + k * math.pi / 5) for k in range(10)]
        pen.shapes([poly(*[(q * math.cos(a), 0.06 + q * math.sin(a)) for q, a in spikes])], fill, edge)
    elif kind == "cloud":
        pen.shapes([ell(-0.55, 0.14, 0.4, 0.32), ell(0.58, 0.16, 0.38, 0.3), ell(-0.08, -0.12, 0.48, 0.46),
            ell(0.3, 0.02, 0.38, 0.36), rect(-0.55, 0.1, 0.58, 0.46)], fill, edge)
    elif kind == "balloon":
        pen.flat(rect(-0.03, 0.5, 0.03, 1.15), (108, 104, 116))
        pen.shapes([poly((-0.14, 0.66), (0.14, 0.66), (0, 0.44)), ell(0, -0.18, 0.6, 0.7)], fill, edge)
        pen.flat(ell(-0.22, -0.46, 0.12, 0.18), light)
    elif kind == "bird":
        pen.shapes([poly((0.45, 0.1), (1.0, -0.12), (0.98, 0.34))], shade, edge)
        pen.shapes([poly((-0.8, -0.18), (-1.02, -0.04), (-0.8, 0.06))], (250, 176, 64), (176, 110, 40))
        pen.shapes([ell(0.06, 0.12, 0.6, 0.36), ell(-0.56, -0.12, 0.3, 0.28)], fill, edge)
        pen.shapes([poly((-0.2, 0.06), (0.4, 0.06), (0.42, -0.8))], shade, edge)
        pen.flat(ell(-0.62, -0.16, 0.08, 0.08), (255, 255, 255) if thing.colour == "black" else (24, 22, 30))
    elif kind == "heart":
        curve = [(16 * math.sin(a) ** 3,
            13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a))
            for a in [2 * math.pi * k / 40 for k in range(40)]]
        pen.shapes([poly(*[(0.055 * x, -0.055 * y - 0.08) for x, y in curve])], fill, edge)
        pen.flat(ell(-0.4, -0.4, 0.14, 0.12), light)
    else:
        raise ValueError(f"world: kind {kind!r}, want one of {KINDS}")


def draw(scene, size=(NATIVE, NATIVE)):
    """Draws a scene as an RGB image of the given size (width, height)."""
    s = _SUPERSAMPLING
    image = Image.new("RGB", (size[0] * s, size[1] * s))
    pen = _Pen(image, scale_of(size))
    _backdrop(pen, scene, size)
    for thing in sorted(scene.things, key=lambda t: t.slot):
        _thing(pen, thing, *place(thing, scene, size))
    return image.reduce(s)


def random_thing(rng, kind, column):
    return Thing(kind, rng.choice(COLOURS), "large" if rng.random() < 0.7 else "small", column)


def random_backdrop(rng):
    weather = "clear" if rng.random() < 0.72 else rng.choice(WEATHERS[1:])
    return Scene(rng.choice(BACKGROUNDS), rng.random() < 0.25, weather)


def random_scene(rng, many=None):
    """Returns a scene of one to four things of different kinds, at most one in each place. many fixes their number."""
    scene = random_backdrop(rng)
    many = many or rng.choices([1, 2, 3, 4], [35, 40, 20, 5])[0]
    kinds = rng.sample(KINDS, many)
    for row in (GROUND, SKY):
        own = [k for k in kinds if k in row][:3]
        if len(own) == 2 and rng.random() < 0.85:
            columns = rng.sample(["left", "right"], 2)
        else:
            columns = rng.sample(COLUMNS, len(own))
        scene.things += [random_thing(rng, k, c) for k, c in zip(own, columns)]
    return jitter(scene, rng)


if __name__ == "__main__":
    import sys
    import time

    rng, sheet, start = random.Random(3), Image.new("RGB", (8 * 250, 6 * 250), "white"), time.time()
    sizes = list(ASPECTS.values())
    for i in range(48):
        if i < 16:
            scene = Scene(BACKGROUNDS[i % 6], i % 5 == 4, WEATHERS[i % 3],
                [Thing(KINDS[i], COLOURS[i % 10], "large", "left"),
                    Thing(KINDS[(i + 9) % 16], COLOURS[(i + 3) % 10], "large", "right")])
            if scene.things[0].slot == scene.things[1].slot:
                scene.things.pop()
        else:
            scene = random_scene(rng)
        size = (192, 192) if i < 24 else sizes[i % 8]
        sheet.paste(draw(scene, size), ((i % 8) * 250, (i // 8) * 250))
    print("drawings a second", 48 / (time.time() - start))
    sheet.save(sys.argv[1])
