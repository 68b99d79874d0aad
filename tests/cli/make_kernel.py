"""Writes a file that looks like a Linux kernel for x86-64 (and does nothing):

    make_kernel.py FILE VERSION elf|none|gzip|xz|lz4|zstd [SIZE]

elf is the bare ELF file, the others are bzImages with it as their payload. SIZE is that of the ELF
file.
"""
import lzma
import struct
import subprocess
import sys
import zlib


def make_elf(version, size):
    header = struct.pack("<16sHHIQQQIHHHHHH", b"\x7fELF\2\1\1", 2, 62, 1, 0x1000000, 64, 0, 0, 64, 56, 1, 0, 0, 0)
    segment = struct.pack("<IIQQQQQQ", 1, 5, 4096, 0, 0x1000000, size - 4096, size, 4096)
    body = bytearray(size)
    body[: len(header) + len(segment)] = header + segment
    banner = b"Linux version " + version.encode() + b" (somebody)\n"
    body[8192 : 8192 + len(banner)] = banner
    return bytes(body)


def compress_lz4(data):
    """The legacy frame format, of blocks with literals alone."""
    out = struct.pack("<I", 0x184C2102)
    for at in range(0, len(data), 8 << 20):
        part = data[at : at + (8 << 20)]
        left = len(part) - 15
        block = b"\xf0" + b"\xff" * (left // 255) + bytes([left % 255]) + part
        out += struct.pack("<I", len(block)) + block
    return out


def compress(data, method):
    """As the kernel's build does it: the length follows, unless the format ends with it."""
    length = struct.pack("<I", len(data))
    if method == "none":
        return data
    if method == "gzip":
        packer = zlib.compressobj(9, zlib.DEFLATED, 31)
        return packer.compress(data) + packer.flush()
    if method == "xz":
        filters = [{"id": lzma.FILTER_X86}, {"id": lzma.FILTER_LZMA2, "dict_size": 32 << 20}]
        return lzma.compress(data, lzma.FORMAT_XZ, lzma.CHECK_CRC32, filters=filters) + length
    if method == "lz4":
        return compress_lz4(data) + length
    return subprocess.run(["zstd", "-q", "-c"], input=data, stdout=subprocess.PIPE, check=True).stdout + length


def main():
    path, version, method = sys.argv[1:4]
    elf = make_elf(version, int(sys.argv[4]) if len(sys.argv) > 4 else 100000)
    if method == "elf":
        image = elf
    else:
        payload = compress(elf, method)
        setup = bytearray(5 * 512)
        setup[0x1F1] = 4
        struct.pack_into("<H", setup, 0x1FE, 0xAA55)
        setup[0x202:0x206] = b"HdrS"
        struct.pack_into("<H", setup, 0x206, 0x20F)
        struct.pack_into("<H", setup, 0x20E, 0x300)
        struct.pack_into("<H", setup, 0x236, 1)
        struct.pack_into("<II", setup, 0x248, 0, len(payload))
        text = version.encode() + b" (somebody) #1\0"
        setup[0x500 : 0x500 + len(text)] = text
        image = bytes(setup) + payload
    with open(path, "wb") as file:
        file.write(image)


main()
