"""Prints random texts and their ids by the reference tokenizer, as JSON lines {"text", "ids"}.

    python tokens.py --count 200000 ../../assets/tokenizer/tokenizer.json.gz > /tmp/vectors.jsonl
    KLEINBILD_VECTORS=/tmp/vectors.jsonl go test ./inference/tokenizer -run Vectors

The texts contain everything on which tokenizers disagree: scripts, combining marks in any order, Hangul letters, every
kind of white space, contractions in unusual case, emoji sequences, complete and incomplete special tokens, and code
points of any Unicode version or none.
"""

import argparse
import gzip
import json
import random
import sys
import unicodedata

from tokenizers import Tokenizer

WORDS = """a the fox's snow DON'T we'll I'VE they're 'tis it's O'Brien 'S 'ſ 'LL 'Re 'vE l'm'd 1234 3.14 0x1F x_y ... -- !? "" ()
naïve Straße ΣΊΣΥΦΟΣ İstanbul ﬁre 雪の中の赤い狐 한국어 рыжая лиса שועל ثعلب लोमड़ी จิ้งจอก ①② Ⅷ ½ ² ٣ 👩‍👩‍👧 🏳️‍🌈 🇩🇪 👍🏽 © ™""".split()
SPACES = list(
    " \t\n\r\v\f\x1c\x1f\x85\xa0\u1680\u180e\u2000\u2007\u200a\u200b\u2028\u2029\u202f\u205f\u3000\ufeff"
) + ["\r\n", "  ", "\n\n", " \n"]
MARKS = [c for c in range(0x300, 0x20000) if unicodedata.combining(chr(c))]
COMPOSABLE = [
    c for c in range(0xC0, 0x30000)
    if unicodedata.decomposition(chr(c)) and "<" not in unicodedata.decomposition(chr(c))
]  # fmt: skip
PLANES = [
    (0, 0x7F), (0x80, 0x24F), (0x250, 0x1FFF), (0x2000, 0x2BFF), (0x2C00, 0xD7FF), (0xE000, 0xFFFF), (0x10000, 0x1FFFF),
    (0x20000, 0x3FFFF), (0xE0000, 0x10FFFF),
]  # fmt: skip


def piece(rng, special):
    kind = rng.randrange(12)
    if kind < 3:
        return rng.choice(WORDS)
    if kind == 3:
        return rng.choice(SPACES) * rng.choice((1, 1, 1, 2, 5))
    if kind == 4:
        return "".join(chr(rng.choice(MARKS)) for _ in range(rng.choice((1, 1, 2, 3, 4, 40))))
    if kind == 5:
        text = chr(rng.choice(COMPOSABLE))
        return rng.choice((text, unicodedata.normalize("NFD", text), text + chr(rng.choice(MARKS))))
    if kind == 6:  # Hangul letters, including old ones and the limits of the ranges that compose
        ranges = [(0x1100, 0x11FF), (0x1100, 0x1112), (0x1161, 0x1175), (0x11A6, 0x11C3), (0xAC00, 0xD7A3)]
        return "".join(chr(rng.choice([rng.randint(*r) for r in ranges])) for _ in range(3))
    if kind == 7:
        token = rng.choice(special)
        return rng.choice((token, token, token[:-1], token[1:], token.upper(), token + token, token + "\u0338"))
    if kind == 8:
        return "'" + rng.choice("sStTrRvVmMlLdDſK") + rng.choice(("", "e", "E", "l", "L", "ſ"))
    if kind == 9:
        return chr(rng.randint(0x20, 0x7E)) * rng.choice((1, 1, 2, 3, 17))
    low, high = rng.choice(PLANES)
    text = "".join(chr(rng.randint(low, high)) for _ in range(rng.choice((1, 1, 2, 5))))
    return text.encode("utf-8", "replace").decode()


def main():
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("tokenizer", help="tokenizer.json, also compressed as .gz")
    parser.add_argument("--count", type=int, default=2000)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    with (gzip.open if args.tokenizer.endswith(".gz") else open)(args.tokenizer, "rb") as file:
        tokenizer = Tokenizer.from_str(file.read().decode())
    special = [token.content for token in tokenizer.get_added_tokens_decoder().values()]
    rng = random.Random(args.seed)
    for _ in range(args.count):
        text = "".join(piece(rng, special) + rng.choice(("", "", " ")) for _ in range(rng.randint(1, 10)))
        row = {"text": text, "ids": tokenizer.encode(text).ids}
        json.dump(row, sys.stdout, ensure_ascii=True, separators=(",", ":"))
        sys.stdout.write("\n")


if __name__ == "__main__":
    main()
