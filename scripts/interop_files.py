"""Files of h5py and NumPy that the readers of crates/rnn-interop are tested on.

    python scripts/interop_files.py

writes crates/rnn-interop/tests/files/ (what has to be read) and parts of crates/rnn-interop/tests/hostile/ (what has to be
refused). Needs h5py and NumPy. Values are small integers and halves, so that every type holds them exactly.
"""

import pathlib

import h5py
import numpy as np

ROOT = pathlib.Path(__file__).resolve().parent.parent / "crates/rnn-interop/tests"
FILES = ROOT / "files"
HOSTILE = ROOT / "hostile"


def ramp(*shape, dtype="f4"):
    return (np.arange(np.prod(shape)).reshape(shape) * 0.5 - 1).astype(dtype)


def values_of_all_types():
    """Types, storages and attributes that are read."""
    with h5py.File(FILES / "types.h5", "w") as f:
        for name in ["f2", "f4", "f8", ">f4", ">f2", "i1", "i2", "i4", "i8", ">i4", "u1", "u2", "u4", "u8"]:
            values = np.array([[0, 1, 2], [3, 4, 100]], dtype=name)
            f["types/" + name.replace(">", "big_")] = values
        f["types/bool"] = np.array([True, False, True])
        f["scalar"] = np.int64(16777217)  # one more than f32 counts
        f["one"] = np.array([2.5])
        f["empty"] = np.zeros((0, 3), "f4")
        f["text"] = "no number"
        f["nan"] = np.array([1, np.nan], "f4")
        f["huge"] = np.array([1e300])
        f.create_dataset("unwritten", (4,), "f4")
        f.create_dataset("chunked/plain", data=ramp(5, 7), chunks=(2, 3))
        f.create_dataset("chunked/deflate", data=ramp(5, 7), chunks=(2, 3), compression="gzip")
        f.create_dataset("chunked/all", data=ramp(5, 7), chunks=(4, 7), compression="gzip", shuffle=True, fletcher32=True)
        partly = f.create_dataset("chunked/partly", (5, 7), "f4", chunks=(2, 3))
        partly[0, 0] = 1
        plist = h5py.h5p.create(h5py.h5p.DATASET_CREATE)
        plist.set_layout(h5py.h5d.COMPACT)
        space = h5py.h5s.create_simple((2, 2))
        compact = h5py.h5d.create(f.id, b"compact", h5py.h5t.IEEE_F32LE, space, plist)
        compact.write(h5py.h5s.ALL, h5py.h5s.ALL, ramp(2, 2))
        f.attrs["text"] = "größer"
        f.attrs["bytes"] = np.bytes_(b"fixed")
        f.attrs["python_bytes"] = b"of any length"
        f.attrs["long"] = "x" * 70_000
        f.attrs["fixed_names"] = np.array([b"one", b"three"])
        f.attrs["names"] = ["ein", "zwei", "zwölf"]
        f.attrs["number"] = 2.5
        f.attrs["integer"] = 7
        f.attrs["flag"] = True
        f.attrs["numbers"] = [1.5, 2.5]
        f.attrs["none"] = np.array([], dtype="f8")
        for i, part in enumerate([[b"a", b"b"], [b"c"]]):
            f.attrs[f"cut{i}"] = np.array(part)
        f["types"].attrs["of"] = "a group"
        f["compact"].attrs["of"] = "a data set"
        for i in range(20):
            f.create_group(f"many/group_{i:02}").attrs["index"] = i
    with h5py.File(FILES / "latest.h5", "w", libver="latest") as f:
        f["group/values"] = ramp(2, 3)
        f["group"].attrs["names"] = ["b", "a"]
        f.create_group("ordered", track_order=True)
        f["ordered/z"] = ramp(1)
        f["ordered/a"] = ramp(2)


def arrays_of_numpy():
    arrays = {"type_" + name.replace(">", "big_"): np.array([[0, 1, 2], [3, 4, 100]], dtype=name)
              for name in ["f2", "f4", "f8", ">f4", ">f8", "i1", "i2", "i4", "i8", ">i2", "u1", "u2", "u4", "u8"]}
    arrays |= {
        "bool": np.array([True, False]),
        "scalar": np.float32(2.5),
        "empty": np.zeros((0, 3)),
        "cube": np.arange(24).reshape(2, 3, 4).astype("f4"),
    }
    np.savez(FILES / "arrays.npz", **arrays)
    np.savez_compressed(FILES / "compressed.npz", **arrays)
    np.save(FILES / "fortran.npy", np.asfortranarray(arrays["cube"]))


def h5_that_are_refused():
    def file(name, **options):
        return h5py.File(HOSTILE / name, "w", **options)

    with file("soft_link.h5") as f:
        f["real"] = ramp(2)
        f["soft"] = h5py.SoftLink("/real")
    with file("external_link.h5") as f:
        f["outside"] = h5py.ExternalLink("/etc/passwd", "/x")
    with file("external_link_latest.h5", libver="latest") as f:
        f["outside"] = h5py.ExternalLink("other.h5", "/x")
    with file("external_storage.h5") as f:
        f.create_dataset("values", (4,), "f4", external=[("/etc/passwd", 0, 16)])
    with file("virtual.h5") as f:
        layout = h5py.VirtualLayout((4,), "f4")
        layout[:] = h5py.VirtualSource("other.h5", "x", (4,))
        f.create_virtual_dataset("values", layout)
    with file("cycle.h5") as f:
        f.create_group("a/b")
        f["a/b/up"] = f["a"]
    with file("self.h5") as f:
        f["self"] = f["/"]
    with file("shared.h5") as f:
        f["x"] = ramp(2)
        f["y"] = f["x"]
    with file("lzf.h5") as f:
        f.create_dataset("values", data=ramp(64), compression="lzf")
    with file("compound.h5") as f:
        f["values"] = np.zeros(2, [("a", "f4"), ("b", "i4")])
    with file("reference.h5") as f:
        f["values"] = ramp(2)
        f.attrs["reference"] = f["values"].ref
    with file("committed_type.h5") as f:
        f["type"] = np.dtype("f4")
        f.create_dataset("values", (2,), dtype=f["type"])
    with file("opaque.h5") as f:
        f["values"] = np.zeros(3, "V3")
    with file("two_bytes.h5") as f:
        f["values"] = np.zeros(3, "V2")
    with file("dense_links.h5", libver="latest") as f:
        for i in range(40):
            f[f"values_{i}"] = np.float32(i)
    with file("dense_attributes.h5", libver="latest") as f:
        for i in range(40):
            f.attrs[f"a{i}"] = i
    with file("newer_chunks.h5", libver="latest") as f:
        f.create_dataset("values", data=ramp(64), chunks=(8,), compression="gzip")
    with file("user_block.h5", userblock_size=512) as f:
        f["values"] = ramp(2)
    with file("deep.h5") as f:
        f.create_group("/".join("d" * 40))
    with file("bomb.h5") as f:
        # 16 MiB of zeros in 16 kB.
        f.create_dataset("values", (1 << 22,), "f4", chunks=(1 << 22,), compression="gzip", compression_opts=9)
        f["values"][:] = 0
    with file("unwritten_huge.h5") as f:
        f.create_dataset("values", (1 << 40, 1 << 20), "f4", chunks=(1 << 10, 1 << 10))


def weights_that_are_refused():
    """Files of the weights of one Dense layer [2, 1], each with something wrong in it."""

    def file(name, kernel=None, bias=np.array([0.5], "f4"), **more):
        with h5py.File(HOSTILE / f"weights_{name}.weights.h5", "w") as f:
            f.create_group("vars")
            layer = f.create_group("layers/dense/vars")
            if callable(kernel):
                kernel(layer)
            else:
                layer["0"] = np.array([[1], [2]], "f4") if kernel is None else kernel
            if bias is not None:
                layer["1"] = bias
            for path, value in more.items():
                f[path.replace("__", "/")] = value

    def virtual(layer):
        layout = h5py.VirtualLayout((2, 1), "f4")
        layout[:] = h5py.VirtualSource("/etc/passwd", "x", (2, 1))
        layer.create_virtual_dataset("0", layout)

    def cycle(layer):
        layer["0"] = np.array([[1], [2]], "f4")
        layer["again"] = layer.parent

    file("good")
    file("nan", np.array([[1], [np.nan]], "f4"))
    file("infinite", np.array([[1], [1e300]], "f8"))
    file("text", np.array([[b"a"], [b"b"]]))
    file("compound", np.zeros((2, 1), [("a", "f4")]))
    file("complex", np.zeros((2, 1), "c8"))
    file("turned", np.array([[1, 2]], "f4"))
    file("larger", np.zeros((3, 1), "f4"))
    file("missing", bias=None)
    file("more", layers__dense_1__vars__0=np.zeros(2, "f4"))
    file("group", lambda layer: layer.create_group("0"))
    file("unwritten", lambda layer: layer.create_dataset("0", (2, 1), "f4"))
    file("huge", lambda layer: layer.create_dataset("0", (1 << 40, 1 << 30), "f4", chunks=(1 << 10, 1 << 10)))
    file("bomb", lambda layer: layer.create_dataset("0", data=np.zeros((1 << 20, 1), "f4"), compression="gzip"))
    file("external_link", lambda layer: layer.__setitem__("0", h5py.ExternalLink("/etc/passwd", "x")))
    file("soft_link", lambda layer: layer.__setitem__("0", h5py.SoftLink("/layers/dense/vars/1")))
    file("external", lambda layer: layer.create_dataset("0", (2, 1), "f4", external=[("/etc/passwd", 0, 8)]))
    file("virtual", virtual)
    file("cycle", cycle)
    with h5py.File(HOSTILE / "weights_none.weights.h5", "w") as f:
        f["other"] = np.zeros(2)


if __name__ == "__main__":
    FILES.mkdir(exist_ok=True)
    HOSTILE.mkdir(exist_ok=True)
    values_of_all_types()
    arrays_of_numpy()
    h5_that_are_refused()
    weights_that_are_refused()
