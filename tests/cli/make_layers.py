"""Writes a docker archive of an image with three layers that have in them all that a file system
can: make_layers.py FILE NAME"""
import hashlib
import io
import json
import sys
import tarfile


class Layer:
    def __init__(self):
        self.file = io.BytesIO()
        self.tar = tarfile.open(fileobj=self.file, mode="w", format=tarfile.PAX_FORMAT)

    def add(self, name, kind=tarfile.REGTYPE, data=b"", mode=0o644, uid=0, gid=0, mtime=1234567890, link="",
            device=(0, 0), xattrs=None):
        info = tarfile.TarInfo(name)
        info.type, info.mode, info.uid, info.gid, info.mtime, info.linkname = kind, mode, uid, gid, mtime, link
        info.devmajor, info.devminor = device
        info.size = len(data)
        info.pax_headers = {"SCHILY.xattr." + key: value for key, value in (xattrs or {}).items()}
        self.tar.addfile(info, io.BytesIO(data))

    def directory(self, name, mode=0o755, **more):
        self.add(name, tarfile.DIRTYPE, mode=mode, **more)

    def bytes(self):
        self.tar.close()
        return self.file.getvalue()


def make_bottom():
    layer = Layer()
    layer.directory("etc", mode=0o711, uid=7, gid=8)
    layer.add("etc/word", data=b"bottom\n", mtime=981173106.5)
    layer.add("etc/removed", data=b"gone")
    layer.add("etc/changed", data=b"before", mode=0o600)
    layer.add("etc/noted", data=b"n", xattrs={"user.note": "a note", "user.empty": ""})
    layer.add("etc/owned", data=b"o", uid=100000, gid=70000, mode=0o6755)
    layer.directory("opaque")
    layer.add("opaque/hidden", data=b"hidden")
    layer.directory("replaced")
    layer.add("replaced/inside", data=b"inside")
    layer.directory("tmp", mode=0o1777)
    layer.add("hard-1", data=b"linked" * 100)
    layer.add("hard-2", tarfile.LNKTYPE, link="hard-1")
    layer.add("etc/hard-3", tarfile.LNKTYPE, link="hard-1")
    layer.add("soft", tarfile.SYMTYPE, link="../etc/word", mode=0o777)
    layer.add("fifo", tarfile.FIFOTYPE, mode=0o620)
    layer.add("null", tarfile.CHRTYPE, device=(1, 3), mode=0o666)
    layer.add("disk", tarfile.BLKTYPE, device=(7, 300), mode=0o660, gid=6)
    layer.add("empty")
    layer.add("n" * 254, data=b"long")
    layer.add("large", data=bytes(range(256)) * 9001, mode=0o400)
    layer.directory("many")
    for i in range(300):
        layer.add("many/%d" % i, data=b"%d" % i * i)
    return layer.bytes()


def make_middle():
    layer = Layer()
    layer.add("etc/.wh.removed")
    layer.add("etc/changed", data=b"after", mode=0o640, uid=1)
    layer.directory("opaque", mode=0o750)
    layer.add("opaque/.wh..wh..opq")
    layer.add("opaque/seen", data=b"seen")
    return layer.bytes()


def make_top():
    layer = Layer()
    layer.add(".wh.replaced")
    layer.add("replaced", data=b"a file now")
    layer.directory("usr/share/deep", uid=3)
    layer.add("usr/share/deep/file", data=b"deep")
    return layer.bytes()


def main():
    path, name = sys.argv[1:]
    layers = [make_bottom(), make_middle(), make_top()]
    config = json.dumps({
        "architecture": "amd64", "os": "linux", "config": {"Cmd": ["/bin/true"]},
        "rootfs": {"type": "layers", "diff_ids": ["sha256:" + hashlib.sha256(layer).hexdigest() for layer in layers]},
    }).encode()
    files = {"config.json": config}
    for i, layer in enumerate(layers):
        files["%d.tar" % i] = layer
    manifest = [{"Config": "config.json", "RepoTags": [name], "Layers": ["%d.tar" % i for i in range(len(layers))]}]
    files["manifest.json"] = json.dumps(manifest).encode()
    with tarfile.open(path, "w") as archive:
        for key, data in files.items():
            info = tarfile.TarInfo(key)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))


main()
