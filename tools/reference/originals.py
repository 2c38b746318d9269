"""Makes the pictures in inference/picture/testdata/originals, with the levels that Pillow reads of them.

Usage: python3 originals.py FOLDER   (needs pillow and numpy)

Beside each NAME lies NAME.levels.png: the upright levels, without any conversion of colours. Pictures of 16 bits are
written here by zlib, because Pillow has no RGB of 16 bits; their levels are the formula `level16`.
"""
import io, struct, sys, zlib
from pathlib import Path
import numpy as np
from PIL import Image, ImageCms, ImageOps

W, H = 93, 71
FOLDER = Path(sys.argv[1])


def photo(w=W, h=H, seed=5):
    """A smooth picture with saturated edges and grain."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[0:h, 0:w].astype(float)
    rgb = np.stack([128 + 100 * np.sin(x / 9), 128 + 100 * np.cos(y / 7), 255 * ((x // 11 + y // 13) % 2)], -1)
    rgb[h // 3:h // 2, w // 3:w // 2] = (250, 10, 10)
    return np.clip(rgb + rng.normal(0, 3, rgb.shape), 0, 255).astype(np.uint8)


def level16(w, h, channels):
    """16-bit levels that use both bytes: (x·701 + y·977 + c·12289) mod 65536."""
    y, x, c = np.mgrid[0:h, 0:w, 0:channels]
    return ((x * 701 + y * 977 + c * 12289) % 65536).astype(np.uint16)


def chunk(kind, data):
    return struct.pack('>I', len(data)) + kind + data + struct.pack('>I', zlib.crc32(kind + data))


def png16(levels, extra=b''):
    h, w, c = levels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[c]
    rows = b''.join(b'\0' + levels[y].astype('>u2').tobytes() for y in range(h))
    return (b'\x89PNG\r\n\x1a\n' + chunk(b'IHDR', struct.pack('>IIBBBBB', w, h, 16, kind, 0, 0, 0)) + extra +
            chunk(b'IDAT', zlib.compress(rows)) + chunk(b'IEND', b''))


def tiff16(levels, photometric):
    h, w, c = levels.shape
    data = levels.astype('<u2').tobytes()
    tags = [(256, 3, 1, w), (257, 3, 1, h), (259, 3, 1, 1), (262, 3, 1, photometric), (271, 2, 8, b'Camera\0\0'),
            (273, 4, 1, None), (274, 3, 1, 6), (277, 3, 1, c), (278, 3, 1, h), (279, 4, 1, len(data))]
    if c > 2:
        tags.append((258, 3, c, b''.join(struct.pack('<H', 16) for _ in range(c))))
    else:
        tags.append((258, 3, 1, 16))
    if c == 4:
        tags.append((338, 3, 1, 2))
    tags.sort()
    at = 8 + 2 + 12 * len(tags) + 4
    extra, entries = b'', b''
    for tag, kind, n, v in tags:
        if isinstance(v, bytes) and len(v) > 4:
            entries += struct.pack('<HHII', tag, kind, n, at + len(extra))
            extra += v
        elif isinstance(v, bytes):
            entries += struct.pack('<HHI', tag, kind, n) + v.ljust(4, b'\0')
        else:
            entries += struct.pack('<HHII', tag, kind, n, 0 if v is None else v)
    where = at + len(extra)
    entries = entries.replace(struct.pack('<HHII', 273, 4, 1, 0), struct.pack('<HHII', 273, 4, 1, where))
    return b'II*\0' + struct.pack('<I', 8) + struct.pack('<H', len(tags)) + entries + b'\0\0\0\0' + extra + data


def exif(orientation, thumbnail=True):
    """A big-endian block: maker, description, orientation, a maker's note, and a thumbnail behind all else."""
    e = Image.Exif()
    e[0x010f] = 'Maker'
    e[0x0112] = orientation
    e[0x0132] = '2026:11:29 12:00:00'
    e.get_ifd(0x8769).update({0xa002: 999, 0xa003: 998, 0x9003: '2026:11:29 12:00:00', 0x927c: b'maker note bytes'})
    block = e.tobytes()[6:]
    if not thumbnail:
        return b'Exif\0\0' + block
    order = '>' if block[:2] == b'MM' else '<'
    first = struct.unpack(order + 'I', block[4:8])[0]
    n = struct.unpack(order + 'H', block[first:first + 2])[0]
    link = first + 2 + 12 * n
    small = io.BytesIO()
    Image.fromarray(photo(32, 24)).save(small, 'JPEG')
    second = len(block) + len(block) % 2
    at = second + 2 + 12 * 2 + 4
    ifd = struct.pack(order + 'H', 2) + struct.pack(order + 'HHII', 0x201, 4, 1, at)
    ifd += struct.pack(order + 'HHII', 0x202, 4, 1, len(small.getvalue())) + b'\0\0\0\0'
    block = block[:link] + struct.pack(order + 'I', second) + block[link + 4:]
    return b'Exif\0\0' + block.ljust(second, b'\0') + ifd + small.getvalue()


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    kinds = Path(__file__).resolve().parents[2] / 'inference/picture/testdata/kinds'
    p3 = Image.open(kinds / 'profile-display-p3.png').info['icc_profile']
    adobe = Image.open(kinds / 'profile-adobe-rgb.png').info['icc_profile']
    rgb = Image.fromarray(photo())
    grey = rgb.convert('L')

    def put(name, **options):
        picture = options.pop('picture', rgb)
        picture.save(FOLDER / name, **options)
        read = ImageOps.exif_transpose(Image.open(FOLDER / name))
        if read.mode in ('P', 'CMYK'):
            read = read.convert('RGBA' if 'transparency' in read.info else 'RGB')
        read.info = {}
        read.save(FOLDER / (name + '.levels.png'))

    put('420.jpg', quality=90, subsampling=2)
    put('422.jpg', quality=85, subsampling=1)
    put('444-progressive.jpg', quality=92, subsampling=0, progressive=True)
    put('gray.jpg', picture=grey, quality=90)
    put('turned-6-exif.jpg', quality=90, subsampling=2, exif=exif(6), icc_profile=p3)
    put('adobe.jpg', quality=95, icc_profile=adobe, exif=exif(1, False))
    put('cmyk.jpg', picture=rgb.convert('CMYK'), quality=95)
    put('p3.png', icc_profile=p3, exif=exif(3, False))
    alpha = np.dstack([photo(), (np.mgrid[0:H, 0:W][1] * 255 // (W - 1)).astype(np.uint8)])
    put('alpha.png', picture=Image.fromarray(alpha, 'RGBA'))
    put('gray-alpha.png', picture=Image.fromarray(np.dstack([np.array(grey), alpha[..., 3]]), 'LA'))
    put('gray.png', picture=grey)
    put('palette.png', picture=rgb.quantize(37))
    put('lossless.webp', picture=Image.fromarray(alpha, 'RGBA'), lossless=True, exact=True, exif=exif(1), icc_profile=p3)
    part = Image.open(FOLDER / '420.jpg.levels.png').crop((13, 9, 60, 50))
    part.resize((160, 144), Image.LANCZOS).save(FOLDER / 'part-enlarged.levels.png')
    part.resize((32, 16), Image.LANCZOS).save(FOLDER / 'part-reduced.levels.png')
    put('plain.bmp')
    put('plain.tif', exif=Image.Exif())
    for name, c in (('gray', 1), ('gray-alpha', 2), ('rgb', 3), ('rgba', 4)):
        (FOLDER / f'{name}16.png').write_bytes(png16(level16(W, H, c)))
    profile = chunk(b'iCCP', b'p3\0\0' + zlib.compress(p3))
    (FOLDER / 'p3-16.png').write_bytes(png16(level16(W, H, 3), profile))
    (FOLDER / 'rgb16.tif').write_bytes(tiff16(level16(W, H, 3), 2))
    (FOLDER / 'rgba16.tif').write_bytes(tiff16(level16(W, H, 4), 2))
    (FOLDER / 'gray16.tif').write_bytes(tiff16(level16(W, H, 1), 1))


main()
