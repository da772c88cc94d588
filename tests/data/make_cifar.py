"""Writes small files in the binary formats of CIFAR-10 and CIFAR-100 into tests/data/cifar, made of Fashion-MNIST.

    .venv/bin/python tests/data/make_cifar.py [--data /usr/share/datasets/fashion-mnist] [--out tests/data/cifar]

Record i of all training files is training image i, padded by 2 to 32x32: red is the image, green 255 minus it, blue half of
it, rounded down. Its label is the image's; of CIFAR-100 the fine label is 10 times that plus i % 10, the coarse one twice
that plus i % 2. The test records are the first test images.
"""
import argparse
import gzip
import pathlib

import numpy as np

HERE = pathlib.Path(__file__).parent
BATCHES, RECORDS_A_BATCH, TEST_RECORDS = 5, 2, 3
TEN = "airplane automobile bird cat deer dog frog horse ship truck".split()


def read(folder, part, count):
    images = gzip.open(folder / f"{part}-images-idx3-ubyte.gz").read(16 + 784 * count)[16:]
    labels = gzip.open(folder / f"{part}-labels-idx1-ubyte.gz").read(8 + count)[8:]
    images = np.frombuffer(images, np.uint8).reshape(count, 28, 28)
    return np.pad(images, ((0, 0), (2, 2), (2, 2))), np.frombuffer(labels, np.uint8)


def planes(image):
    return np.stack([image, 255 - image, image // 2]).tobytes()


def ten(images, labels):
    return b"".join(bytes([label]) + planes(image) for image, label in zip(images, labels))


def hundred(images, labels):
    return b"".join(bytes([2 * label + i % 2, 10 * label + i % 10]) + planes(image)
                    for i, (image, label) in enumerate(zip(images, labels)))


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("/usr/share/datasets/fashion-mnist"))
    parser.add_argument("--out", type=pathlib.Path, default=HERE / "cifar")
    arguments = parser.parse_args()
    images, labels = read(arguments.data, "train", BATCHES * RECORDS_A_BATCH)
    test = read(arguments.data, "t10k", TEST_RECORDS)
    folder = arguments.out / "cifar-10-batches-bin"
    folder.mkdir(parents=True, exist_ok=True)
    for batch in range(BATCHES):
        part = slice(batch * RECORDS_A_BATCH, (batch + 1) * RECORDS_A_BATCH)
        (folder / f"data_batch_{batch + 1}.bin").write_bytes(ten(images[part], labels[part]))
    (folder / "test_batch.bin").write_bytes(ten(*test))
    (folder / "batches.meta.txt").write_text("\n".join(TEN) + "\n\n")  # as the archive has it
    folder = arguments.out / "cifar-100-binary"
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "train.bin").write_bytes(hundred(images[:4], labels[:4]))
    (folder / "test.bin").write_bytes(hundred(*test))
    (folder / "coarse_label_names.txt").write_text("".join(f"coarse {i}\n" for i in range(20)))
    (folder / "fine_label_names.txt").write_text("".join(f"fine {i}\n" for i in range(100)))


if __name__ == "__main__":
    main()
