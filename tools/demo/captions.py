"""Captions of scenes, edits of one picture and compositions of several pictures, and the meaning of these captions.

Rules fix what a caption leaves out, so that every caption has one meaning. A thing without a colour has the usual
colour of its kind, and one without a size is large. A scene without a background is a meadow by day in clear weather.
Things without a place stand in the middle, or from left to right in the order in which they are named.
"""

import dataclasses
import hashlib

import world
from world import BACKGROUNDS, COLOURS, COLUMNS, GROUND, KINDS, SIZES, SKY, USUAL, WEATHERS, Scene, Thing

NOUNS = {
    "house": ["house", "house", "house", "cottage", "home", "hut"], "tree": ["tree"],
    "flower": ["flower", "flower", "blossom", "bloom"],
    "car": ["car", "car", "car", "automobile", "auto"], "boat": ["boat", "boat", "ship", "sailboat", "sailing boat"],
    "fish": ["fish"],
    "cat": ["cat", "cat", "cat", "kitten", "kitty"], "mushroom": ["mushroom", "mushroom", "toadstool"],
    "ball": ["ball", "ball", "beach ball"],
    "sun": ["sun"], "moon": ["moon", "moon", "crescent moon", "crescent"], "star": ["star"], "cloud": ["cloud"],
    "balloon": ["balloon", "balloon", "air balloon"], "bird": ["bird"], "heart": ["heart", "heart", "love heart"],
}  # fmt: skip
COLOUR_WORDS = {
    "red": ["red", "red", "red", "scarlet", "crimson"], "orange": ["orange"],
    "yellow": ["yellow", "yellow", "golden", "gold"],
    "green": ["green", "green", "emerald"], "blue": ["blue", "blue", "azure"], "purple": ["purple", "purple", "violet"],
    "pink": ["pink", "pink", "rosy"], "white": ["white", "white", "snow-white"],
    "black": ["black", "black", "jet black"],
    "brown": ["brown", "brown", "chestnut"],
}  # fmt: skip
SIZE_WORDS = {"small": ["small", "little", "tiny", "small"], "large": ["large", "big", "huge", "giant"]}
COUNT_WORDS = {2: ["two", "two", "2", "a pair of"], 3: ["three", "three", "3"]}
PLACES = {
    "meadow": ["in a meadow", "in a field", "on the grass", "in a green field", "on a meadow", "in the countryside",
        "on a lawn"],
    "sea": ["at sea", "by the sea", "on the water", "in the ocean", "at the seaside", "on the sea", "on a lake"],
    "snow": ["in the snow", "on the snow", "in winter", "in a snowy field", "on snow", "in a snowy landscape"],
    "desert": ["in the desert", "on the sand", "in a desert", "among sand dunes", "on sand"],
    "mountains": ["in the mountains", "in front of mountains", "with mountains behind", "among mountains",
        "before the mountains", "in the Alps"],
    "city": ["in the city", "in a town", "in a city", "in front of a skyline", "downtown", "on a city street",
        "in the street"],
}  # fmt: skip
PLACE_NOUNS = {
    "meadow": ["a meadow", "a green field", "grass", "meadow"], "sea": ["the sea", "the ocean", "water", "sea"],
    "snow": ["snow", "a snowy field", "a winter landscape"],
    "desert": ["a desert", "the desert", "sand dunes", "desert"],
    "mountains": ["mountains", "the mountains"], "city": ["a city", "the city", "a town", "a skyline", "city"],
}  # fmt: skip
NIGHT = ["at night", "at night", "by night", "in the dark", "after dark", "at midnight", "under the night sky",
    "during the night"]
DAY = ["by day", "in daylight", "during the day", "at noon", "in the daytime"]
FALLING = {
    "rain": ["in the rain", "in the rain", "while it rains", "in rainy weather", "when it is raining",
        "in pouring rain"],
    "snowfall": ["in falling snow", "while it snows", "when it is snowing", "with snow falling", "in a snowstorm",
        "during snowfall"],
}  # fmt: skip
BARE_PLACE = {"meadow": "meadow", "sea": "sea", "snow": "snow", "desert": "desert", "mountains": "mountains",
    "city": "city"}
BARE_FALLING = {"rain": ["rain", "rainy", "raining"], "snowfall": ["snowfall", "snowing"]}
LEADS = [
    "a picture of", "a drawing of", "an illustration of", "draw", "show me", "please draw", "paint", "I want",
    "image of", "a simple drawing of",
    "can you draw", "make a picture with", "picture:", "a painting of", "there is", "a scene with", "give me", "create",
]  # fmt: skip
FILLERS = ["cute", "nice", "lovely", "pretty", "beautiful", "single", "simple", "bright", "cheerful", "lonely", "funny",
    "old", "new", "fine", "charming"]
STYLES = ["flat style", "simple shapes", "cartoon", "illustration", "minimal", "for kids", "children's book style",
    "vector art", "clean colours", "high quality"]
_SIDE = {
    "left": ["on the left", "on the left", "on the left side", "to the left", "at the left", "on the left-hand side"],
    "centre": ["in the middle", "in the middle", "in the centre", "in the center", "at the center"],
    "right": ["on the right", "on the right", "on the right side", "to the right", "at the right",
        "on the right-hand side"],
}  # fmt: skip
_HIGH = {
    "left": ["at the top left", "in the upper left", "in the top left corner", "in the sky on the left",
        "on the upper left"],
    "centre": ["at the top", "in the sky", "at the top center", "high in the middle"],
    "right": ["at the top right", "in the upper right", "in the top right corner", "in the sky on the right",
        "on the upper right"],
}  # fmt: skip
_LOW = {
    "left": ["at the bottom left", "in the lower left", "on the ground on the left"],
    "centre": ["at the bottom", "on the ground"],
    "right": ["at the bottom right", "in the lower right", "on the ground on the right"],
}  # fmt: skip


@dataclasses.dataclass
class Group:
    """Things that are named together: one thing, or two or three equal ones. source is the number of the picture, from
    1 on, from which they come, or 0."""

    things: list
    source: int = 0

    @property
    def first(self):
        return self.things[0]


def held_out(scene):
    """Returns True for a tenth of all combinations of background, time, kinds, colours and columns. Training never uses
    them."""
    key = "|".join([scene.background, str(scene.night)]
        + sorted(f"{t.kind},{t.colour},{t.column}" for t in scene.things))
    return hashlib.md5(key.encode()).digest()[0] < 26


def sample(rng):
    """Returns a scene to describe: like world.random_scene, but a quarter have counted things, and plain settings and
    usual colours are as frequent as in what people write."""
    if rng.random() < 0.25:
        scene = world.random_backdrop(rng)
        kind, count = rng.choice(KINDS), rng.choice([2, 2, 3])
        model = world.random_thing(rng, kind, "left")
        columns = COLUMNS if count == 3 else ["left", "right"]
        other = rng.choice([k for k in KINDS if k != kind])
        if rng.random() < 0.45:
            thing = world.random_thing(rng, other, "centre")
            if thing.row == model.row and count == 2:
                first = rng.random() < 0.7
                columns, thing.column = (["left", "centre"], "right") if first else (["centre", "right"], "left")
            if thing.row != model.row or count == 2:
                scene.things.append(thing)
        scene.things += [dataclasses.replace(model, column=c) for c in columns]
        world.jitter(scene, rng)
    else:
        scene = world.random_scene(rng)
        if len(scene.things) == 1 and rng.random() < 0.4:
            scene.things[0].column = "centre"
        if rng.random() < 0.35:
            arrange(scene.things, rng)
    if rng.random() < 0.3:
        scene.background, scene.night, scene.weather = "meadow", False, "clear"
    for t in scene.things:
        if rng.random() < 0.12 and sum(o.kind == t.kind for o in scene.things) == 1:
            t.colour = USUAL[t.kind]
    return scene


def arrange(things, rng):
    """Moves things to the columns in which the rules put them if no place is named."""
    for row in ("ground", "sky"):
        own = [t for t in things if t.row == row]
        for t, column in zip(own, _unsaid(len(own))):
            t.column = column


def _unsaid(many):
    return {0: [], 1: ["centre"], 2: ["left", "right"], 3: COLUMNS}[many]


def groups_of(scene):
    groups = []
    for t in sorted(scene.things, key=lambda t: t.slot):
        alike = [g for g in groups if (g.first.kind, g.first.colour, g.first.size) == (t.kind, t.colour, t.size)]
        same = alike[0] if alike else None
        if same:
            same.things.append(t)
        else:
            groups.append(Group([t]))
    return groups


def _settled(groups):
    """Returns whether the things, named in this order, stand where the rules put them if no place is named."""
    for row in ("ground", "sky"):
        columns = [t.column for g in groups for t in g.things if t.row == row]
        if columns != _unsaid(len(columns)):
            return False
    return True


def noun(kind, many, rng):
    word = rng.choice(NOUNS[kind])
    return word if many == 1 or word == "fish" else word + ("es" if word.endswith("sh") else "s")


def article(words):
    return ("an " if words[0] in "aeiou" else "a ") + words


# In captions for the training of the text encoder, every noun phrase ends in a mark: a character of the private use
# area that encodes what the phrase names.

MARKED = [("kind", len(KINDS)), ("colour", len(COLOURS) + 1), ("size", len(SIZES)), ("source", 5), ("count", 3)]


def _mark(group):
    code, t = 0, group.first
    values = [KINDS.index(t.kind), len(COLOURS) if group.source else COLOURS.index(t.colour), SIZES.index(t.size),
        group.source, len(group.things) - 1]
    for (_, many), value in zip(MARKED, values):
        code = code * many + value
    return chr(0xE000 + code)


def read_marks(text):
    """Returns the text without its marks, and for each mark the number of characters before it and its classes, see
    MARKED."""
    plain, marks = [], []
    for c in text:
        if not 0xE000 <= ord(c) <= 0xF8FF:
            plain.append(c)
            continue
        code, values = ord(c) - 0xE000, []
        for _, many in reversed(MARKED):
            code, value = divmod(code, many)
            values.append(value)
        marks.append((len(plain), values[::-1]))
    return "".join(plain), marks


def picture_name(number, rng):
    ordinal = ["first", "second", "third", "fourth"][number - 1]
    return rng.choice([f"image {number}", f"image {number}", f"picture {number}", f"the {ordinal} image",
        f"the {ordinal} picture", f"photo {number}", f"img {number}"])


def name(group, rng, bare=False):
    """Returns the noun phrase of a group with its mark: `two small red cats`, `the boat of image 1`."""
    text = _phrase(group, rng, bare)
    return text[:-1] + _mark(group) + "," if text[-1] == "," else text + _mark(group)


def _phrase(group, rng, bare):
    t, many = group.first, len(group.things)
    word = noun(t.kind, many, rng)
    if group.source:
        size = rng.choice(SIZE_WORDS["small"]) + " " if t.size == "small" else ""
        of = rng.choice(["of", "from", "of", "in"])
        return f"{'' if bare else 'the '}{size}{word} {of} {picture_name(group.source, rng)}"
    before, after = [], ""
    if t.size == "small" or rng.random() < 0.25:
        before.append(rng.choice(SIZE_WORDS[t.size]))
    elif rng.random() < 0.06:
        before.append(rng.choice(FILLERS))
    if t.colour != USUAL[t.kind] or rng.random() < 0.5:
        colour, how = rng.choice(COLOUR_WORDS[t.colour]), rng.random()
        if how < 0.84 or many > 1:
            before.append(colour)
        elif how < 0.94:
            after = rng.choice([f" that is {colour}", f" painted {colour}", f" in {colour}", f" which is {colour}",
                f", {colour},"])
        else:
            before.append(colour + rng.choice(["-coloured", "-colored", " coloured"]))
    words = " ".join(before + [word]) + after
    if many > 1:
        return f"{rng.choice(COUNT_WORDS[many])} {words}"
    if bare:
        return words
    return "the " + words if t.kind in ("sun", "moon") and rng.random() < 0.3 else article(words)


def where(thing, rng):
    how = rng.random()
    if thing.row == "sky" and how < 0.4:
        return rng.choice(_HIGH[thing.column])
    if thing.row == "ground" and how < 0.12:
        return rng.choice(_LOW[thing.column])
    return rng.choice(_SIDE[thing.column])


def _relation(groups, rng, say):
    """Returns a phrase such as `A left of B` for two groups, or None if there is none that describes them."""
    a, b = groups
    if len(a.things) + len(b.things) > 2:
        if a.first.row == b.first.row:
            return None
        low, high = (a, b) if a.first.row == "ground" else (b, a)
        if not _settled([low, high]):
            return None
        return rng.choice([f"{say(low)} {rng.choice(['under', 'below', 'beneath', 'underneath'])} {say(high)}",
            f"{say(high)} {rng.choice(['above', 'over'])} {say(low)}"])
    if a.first.column == b.first.column:
        low, high = (a, b) if a.first.row == "ground" else (b, a)
        text = rng.choice([f"{say(low)} {rng.choice(['under', 'below', 'beneath', 'underneath'])} {say(high)}",
            f"{say(high)} {rng.choice(['above', 'over', 'right above', 'on top of'])} {say(low)}"])
        side = a.first.column
        return text if side == "centre" and rng.random() < 0.8 else f"{text} {rng.choice(_SIDE[side])}"
    if {a.first.column, b.first.column} != {"left", "right"}:
        return None
    left, right = (a, b) if a.first.column == "left" else (b, a)
    how = rng.random()
    if how < 0.4:
        first = say(left)
        beside = rng.choice(["beside", "next to", "near", "by", "next to", "standing beside"])
        return f"{first} {beside} {say(right)}"
    if how < 0.7:
        return f"{say(left)} {rng.choice(['to the left of', 'left of', 'on the left of'])} {say(right)}"
    return f"{say(right)} {rng.choice(['to the right of', 'right of', 'on the right of'])} {say(left)}"


def _things(groups, rng, bare):
    """Returns the part of a caption that names the things."""
    say = lambda g: name(g, rng, bare)
    if len(groups) == 2 and rng.random() < 0.6:
        if text := _relation(groups, rng, say):
            return text
    if len(groups) == 3 and rng.random() < 0.5:
        low = [g for g in groups if g.first.row == "ground"]
        high = [g for g in groups if g.first.row == "sky"]
        if len(low) == 2 and _settled(low + high):
            return f"{say(low[0])} and {say(low[1])} {rng.choice(['under', 'below', 'with', 'beneath'])} {say(high[0])}"
    groups = list(groups)
    if rng.random() < 0.5:
        rng.shuffle(groups)
    if _settled(groups) and rng.random() < 0.75:
        parts = [say(g) for g in groups]
    else:
        parts = []
        for g in groups:
            alone = sum(t.row == g.first.row for o in groups for t in o.things) == len(g.things)
            columns = [t.column for t in g.things]
            if len(g.things) > 1:
                both = {("left", "right"): " on the left and right",
                    ("left", "centre"): rng.choice([" on the left", " on the left and in the middle"]),
                    ("centre", "right"): rng.choice([" on the right", " in the middle and on the right"])}
                parts.append(say(g) + ("" if alone and columns == _unsaid(len(columns)) else both[tuple(columns)]))
            elif alone and columns == ["centre"] and rng.random() < 0.5:
                parts.append(say(g))
            elif rng.random() < 0.75:
                parts.append(f"{say(g)} {where(g.first, rng)}")
            elif bare:
                parts.append(f"{g.first.column} {say(g)}")
            else:
                parts.append(f"{where(g.first, rng)}{rng.choice([' ', ', ', ' there is ', ' is '])}{say(g)}")
    if len(parts) == 1:
        return parts[0]
    how = rng.random()
    if how < 0.6:
        return ", ".join(parts[:-1]) + rng.choice([" and ", " and ", ", and "]) + parts[-1]
    if how < 0.75:
        return " with ".join(parts) if len(parts) == 2 else ", ".join(parts)
    return rng.choice([", ", ", ", "; ", ". ", " "] if bare else [", ", "; ", ". "]).join(parts)


def _setting(scene, rng, bare):
    parts = []
    if scene.background != "meadow" or rng.random() < 0.35:
        parts.append(BARE_PLACE[scene.background] if bare and rng.random() < 0.6
            else rng.choice(PLACES[scene.background]))
    if scene.night:
        parts.append("night" if bare and rng.random() < 0.6 else rng.choice(NIGHT))
    elif rng.random() < 0.06:
        parts.append(rng.choice(DAY))
    if scene.weather != "clear":
        parts.append(rng.choice(BARE_FALLING[scene.weather]) if bare and rng.random() < 0.6
            else rng.choice(FALLING[scene.weather]))
    rng.shuffle(parts)
    return parts


def dress(text, rng):
    """Varies the spelling as people do: a capital and a full stop, all capitals, title case, or nothing."""
    how = rng.random()
    text = text.replace(",,", ",").replace(", ;", ";").strip()
    if how < 0.42:
        return text
    if how < 0.6:
        return text[0].upper() + text[1:] + "."
    if how < 0.75:
        return text[0].upper() + text[1:]
    if how < 0.83:
        return text.upper()
    if how < 0.9:
        return text.title()
    return text + rng.choice([".", "!", " ", ", please"])


def describe(scene, rng, groups=None, setting=None):
    """Returns a caption of a scene."""
    return read_marks(describe_marked(scene, rng, groups, setting))[0]


def describe_marked(scene, rng, groups=None, setting=None):
    bare = rng.random() < 0.2
    text = _things(groups or groups_of(scene), rng, bare)
    parts = _setting(scene, rng, bare) if setting is None else setting
    how = rng.random()
    if not parts:
        pass
    elif bare:
        text = ", ".join(parts + [text] if how < 0.3 else [text] + parts)
    elif how < 0.5:
        text = " ".join([text] + parts)
    elif how < 0.68:
        text = text + ", " + ", ".join(parts)
    elif how < 0.8:
        text = ", ".join(parts) + ", " + text
    elif how < 0.9 and len(parts) > 1:
        text = f"{parts[0]}, {text}, {' '.join(parts[1:])}"
    else:
        text = f"{text}. " + ". ".join(rng.choice(["It is ", "The scene is ", "", "All of it "]) + p
            if not p.startswith("with") else p for p in parts)
    if not bare and not parts[:0] and rng.random() < 0.22:
        lead = rng.choice(LEADS)
        text = lead + " " + text
    if rng.random() < 0.06:
        text += ", " + rng.choice(STYLES)
    return dress(text, rng)


# Edits of one picture.

OPERATIONS = ["none", "recolour", "remove", "add", "replace", "resize", "night", "day", "weather", "background"]


@dataclasses.dataclass
class Meaning:
    """What a caption asks for, as the answers that the text encoder is trained to give. In every answer, class 0 means
    "not mentioned"."""

    scene: Scene = None
    groups: list = None
    background: str = None  # None if it is taken from a reference
    background_source: int = 0
    night: object = None
    weather: str = None
    operation: str = "none"
    target: str = None
    kind: str = None
    colour: str = None
    size: str = None
    column: str = None


def meaning_of(scene, groups=None):
    return Meaning(scene, groups or groups_of(scene), scene.background, 0, scene.night, scene.weather)


def free_column(scene, row):
    taken = [t.column for t in scene.things if t.row == row]
    return next((c for c in ("right", "left", "centre") if c not in taken), None)


def edit(rng, held=False, shares=(26, 14, 18, 10, 6, 7, 5, 6, 8)):
    """Returns the scene before the edit, the scene after it, three captions and their meaning.

    held selects whether held_out is true for the scene after the edit. shares are the relative frequencies of
    OPERATIONS[1:].
    """
    while True:
        before = world.random_scene(rng, rng.choices([1, 2, 3], [30, 45, 25])[0])
        if rng.random() < 0.4:
            before.background, before.night, before.weather = "meadow", False, "clear"
        after, m = before.copy(), Meaning(operation=rng.choices(OPERATIONS[1:], shares)[0])
        t = rng.choice(after.things)
        crowd = sum(o.row == t.row for o in after.things)
        op = m.operation
        if op == "recolour":
            m.target, m.colour = t.kind, rng.choice([c for c in COLOURS if c != t.colour])
            t.colour = m.colour
        elif op == "remove":
            if crowd == 3 or len(after.things) == 1:
                continue
            m.target = t.kind
            after.things.remove(t)
        elif op == "add":
            m.kind = rng.choice([k for k in KINDS if k not in [o.kind for o in after.things]])
            new = Thing(m.kind, rng.choice(COLOURS) if rng.random() < 0.6 else USUAL[m.kind],
                "large" if rng.random() < 0.8 else "small", "centre")
            if sum(o.row == new.row for o in after.things) >= 2:
                continue
            new.column = free_column(after, new.row)
            if rng.random() < 0.6:
                m.column = new.column = rng.choice(
                    [c for c in COLUMNS if c not in [o.column for o in after.things if o.row == new.row]])
            m.colour, m.size = new.colour, new.size
            new.dx, new.dy = t.dx, t.dy
            after.things.append(new)
        elif op == "replace":
            m.target = t.kind
            m.kind = rng.choice([k for k in (GROUND if t.row == "ground" else SKY)
                if k not in [o.kind for o in after.things]])
            m.colour = rng.choice(COLOURS) if rng.random() < 0.6 else USUAL[m.kind]
            t.kind, t.colour = m.kind, m.colour
        elif op == "resize":
            m.target, m.size = t.kind, "large" if t.size == "small" else "small"
            t.size = m.size
        elif op in ("night", "day"):
            if before.night == (op == "night"):
                before.night = not before.night
            after.night = op == "night"
        elif op == "weather":
            m.weather = after.weather = rng.choice([w for w in WEATHERS if w != before.weather])
        else:
            m.background = after.background = rng.choice([b for b in BACKGROUNDS if b != before.background])
        if held_out(after) != held:
            continue
        return before, after, [edit_caption(m, before, rng) for _ in range(3)], m


def edit_caption(m, before, rng):
    pick, op = rng.choice, m.operation
    target = ""
    if m.target:
        colour = next(t.colour for t in before.things if t.kind == m.target)
        target = (pick(COLOUR_WORDS[colour]) + " " if rng.random() < 0.2 else "") + noun(m.target, 1, rng)
    the = pick(["the ", "the ", "the ", ""]) + target
    if op == "recolour":
        c = pick(COLOUR_WORDS[m.colour])
        text = pick([f"make {the} {c}", f"make {the} {c}", f"paint {the} {c}", f"change {the} to {c}",
            f"turn {the} {c}", f"{the} should be {c}", f"change the {pick(['colour', 'color'])} of {the} to {c}",
            f"{pick(['recolour', 'recolor', 'colour', 'color'])} {the} {c}", f"I want {the} to be {c}",
            f"{the} in {c}"])
    elif op == "remove":
        text = pick([f"{pick(['remove', 'remove', 'delete', 'erase', 'take away', 'get rid of', 'take out'])} {the}",
            f"without {the}", f"no {target}", f"the same picture without {the}"])
    elif op == "add":
        words = [pick(SIZE_WORDS[m.size])] if m.size == "small" or rng.random() < 0.12 else []
        words += [pick(COLOUR_WORDS[m.colour])] if m.colour != USUAL[m.kind] or rng.random() < 0.4 else []
        words.append(noun(m.kind, 1, rng))
        what = article(" ".join(words))
        place = " " + where(Thing(m.kind, "red", "large", m.column), rng) if m.column else ""
        text = pick([f"add {what}{place}", f"add {what}{place}", f"put {what}{place or ' in'}",
            f"place {what}{place or ' in the picture'}", f"with {what}{place}", f"{what}{place} too",
            f"draw {what}{place} as well", f"insert {what}{place}"])
    elif op == "replace":
        words = [pick(COLOUR_WORDS[m.colour])] if m.colour != USUAL[m.kind] or rng.random() < 0.4 else []
        what = article(" ".join(words + [noun(m.kind, 1, rng)]))
        text = pick([f"replace {the} with {what}", f"replace {the} by {what}", f"swap {the} for {what}",
            f"turn {the} into {what}", f"change {the} into {what}", f"{what} instead of {the}"])
    elif op == "resize":
        word = pick(["smaller", "small", "tiny", "little"] if m.size == "small"
            else ["bigger", "larger", "big", "large", "huge"])
        text = pick([f"make {the} {word}", f"{the} should be {word}",
            f"{pick(['shrink', 'reduce'] if m.size == 'small' else ['enlarge', 'grow'])} {the}",
            f"change {the} to {word}"])
    elif op == "night":
        text = pick(["at night", "make it night", "by night", "turn day into night", "change it to night",
            "the same at night", "in the dark", "make it dark", "night time", "night scene"])
    elif op == "day":
        text = pick(["by day", "make it day", "in daylight", "turn night into day", "change it to day",
            "the same by day", "during the day", "make it bright", "day time", "daylight scene"])
    elif op == "weather":
        rain = before.weather == "rain"
        text = pick({
            "rain": ["make it rain", "add rain", "let it rain", "in the rain", "rainy weather", "it should rain"],
            "snowfall": ["make it snow", "let it snow", "add falling snow", "in falling snow", "it should snow",
                "add snowfall"],
            "clear": ["clear weather", "make the weather clear", "stop the rain" if rain else "stop the snowfall",
                "no rain" if rain else "no falling snow", "clear sky"],
        }[m.weather])
    else:
        place, where_ = pick(PLACE_NOUNS[m.background]), pick(PLACES[m.background])
        text = pick([f"change the background to {place}", f"set the background to {place}", f"put it {where_}",
            f"move it {where_}", f"background: {place}", f"replace the background with {place}",
            f"make the background {place}", f"the same {where_}", where_])
    if rng.random() < 0.2:
        text = pick(["please ", "now ", "can you ", "just "]) + text
    if rng.random() < 0.08:
        text += pick([" in image 1", " in the picture", " in this picture", " in the image"])
    return dress(text, rng)


def compose(rng, held=False, marked=False):
    """Returns two to four reference scenes, the composed scene, three captions and their meaning. held selects whether
    held_out is true for the composed scene."""
    while True:
        many = rng.choices([2, 3, 4], [65, 23, 12])[0]
        from_picture = rng.random() < (0.5 if many < 4 else 1)
        subjects = many - from_picture
        scene = world.random_backdrop(rng)
        if not from_picture and rng.random() < 0.5:
            scene = Scene()
        scene.things = [Thing(k, rng.choice(COLOURS), "large", "centre") for k in rng.sample(KINDS, subjects)]
        arrange(scene.things, rng)
        if subjects == 2 and scene.things[0].row != scene.things[1].row and rng.random() < 0.3:
            for t, c in zip(scene.things, rng.sample(["left", "right"], 2)):
                t.column = c
        if any(len([t for t in scene.things if t.row == r]) > 3 for r in ("ground", "sky")) or held_out(scene) != held:
            continue
        numbers = rng.sample(range(1, many + 1), many) if rng.random() < 0.5 else list(range(1, many + 1))
        references = [None] * many
        for t, number in zip(scene.things, numbers):
            reference = world.random_backdrop(rng)
            if rng.random() < 0.4:
                reference = Scene()
            column = rng.choice(["centre", "centre", "left", "right"])
            reference.things = [dataclasses.replace(t, column=column, size="large" if rng.random() < 0.75 else "small")]
            if rng.random() < 0.3:
                reference.things[0].column = "left" if column == "centre" else column
                other = world.random_thing(rng, rng.choice([k for k in KINDS if k != t.kind]),
                    "right" if reference.things[0].column == "left" else "left")
                reference.things.append(other)
            references[number - 1] = world.jitter(reference, rng)
        groups = [Group([t], number) for t, number in zip(scene.things, numbers)]
        groups.sort(key=lambda g: g.first.slot)
        m = meaning_of(scene, groups)
        if from_picture:
            m.background, m.background_source, m.night, m.weather = None, numbers[-1], None, None
            reference = Scene(scene.background, scene.night, scene.weather, [])
            if rng.random() < 0.5:
                reference.things = world.random_scene(rng, rng.choice([1, 1, 2])).things
            references[numbers[-1] - 1] = world.jitter(reference, rng)
        world.jitter(scene, rng)
        said = []
        for _ in range(3):
            setting = None
            if from_picture:
                which = picture_name(m.background_source, rng)
                setting = [rng.choice([f"on the background of {which}", f"on the background of {which}",
                    f"in front of the background of {which}", f"in the landscape of {which}",
                    f"with the background of {which}", f"in the scene of {which}", f"in the setting of {which}"])]
            said.append(describe_marked(scene, rng, groups, setting) if marked
                else describe(scene, rng, groups, setting))
        return references, scene, said, m


# The answers as class numbers, for the training of the text encoder.

HEADS = (
    [("kind", len(KINDS) + 1)] * 6 + [("colour", len(COLOURS) + 2)] * 6 + [("size", 3)] * 6 + [("source", 5)] * 6
    + [("background", len(BACKGROUNDS) + 1), ("background_source", 5), ("night", 3), ("weather", len(WEATHERS) + 1)]
    + [("operation", len(OPERATIONS)), ("target", len(KINDS) + 1), ("new_kind", len(KINDS) + 1),
        ("new_colour", len(COLOURS) + 1), ("new_size", 3), ("new_column", 4)]
)  # fmt: skip


def answers(m):
    """Returns the class of every head of HEADS."""
    number = lambda value, values: 0 if value is None else 1 + list(values).index(value)
    slots = [[0] * 6 for _ in range(4)]
    for g in m.groups or []:
        for t in g.things:
            k = t.slot
            slots[0][k] = number(t.kind, KINDS)
            slots[1][k] = len(COLOURS) + 1 if g.source else number(t.colour, COLOURS)
            slots[2][k] = number(t.size, SIZES)
            slots[3][k] = g.source
    return sum(slots, []) + [
        number(m.background, BACKGROUNDS), m.background_source, number(m.night, (False, True)),
        number(m.weather, WEATHERS),
        OPERATIONS.index(m.operation), number(m.target, KINDS), number(m.kind, KINDS), number(m.colour, COLOURS),
        number(m.size, SIZES),
        number(m.column, COLUMNS),
    ]  # fmt: skip


def training_example(rng):
    """Returns a caption of any kind, with marks, and its meaning. Two thirds describe a scene, mostly of several
    things, because these take longest to learn."""
    how = rng.random()
    if how < 0.68:
        while held_out(scene := sample(rng)) or (len(scene.things) == 1 and rng.random() < 0.6):
            pass
        return describe_marked(scene, rng), meaning_of(scene)
    _, *_, said, m = edit(rng) if how < 0.8 else compose(rng, marked=True)
    return said[0], m


if __name__ == "__main__":
    import random
    import time

    rng, start = random.Random(5), time.time()
    for i in range(70):
        text, m = training_example(rng)
        print(read_marks(text)[0], "   ##",
            [f"{t.colour} {t.kind} {t.column}" for t in m.scene.things] if m.scene else m.operation)
    start = time.time()
    for _ in range(2000):
        answers(training_example(rng)[1])
    print("captions a second", 2000 / (time.time() - start))
