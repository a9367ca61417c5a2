"""Train a small convolutional network to read handwritten digits.

python examples/mnist_cnn.py                      # with PyTorch
python -m flowtorch run examples/mnist_cnn.py     # the same file, without it
"""

import itertools

import numpy as np
import torch
import torch.nn as nn
import torch.nn.functional as F
from common import DATA, Progress, begin, parser, which
from torch.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv1 = nn.Conv2d(1, 8, kernel_size=3, padding=1)
        self.conv2 = nn.Conv2d(8, 16, kernel_size=3, padding=1)
        self.norm = nn.BatchNorm2d(16)
        self.dropout = nn.Dropout(0.25)
        self.fc1 = nn.Linear(16 * 7 * 7, 64)
        self.fc2 = nn.Linear(64, 10)

    def forward(self, x):
        x = F.max_pool2d(F.relu(self.conv1(x)), 2)
        x = F.max_pool2d(F.relu(self.norm(self.conv2(x))), 2)
        x = self.dropout(torch.flatten(x, 1))
        return F.log_softmax(self.fc2(F.relu(self.fc1(x))), dim=1)


def images_and_labels(file, part):
    images = torch.from_numpy(file[f"{part}_images"]).unsqueeze(1).to(torch.get_default_dtype())
    labels = torch.from_numpy(file[f"{part}_labels"]).long()
    return TensorDataset((images / 255 - 0.1307) / 0.3081, labels)


@torch.no_grad()
def accuracy(model, loader):
    model.eval()
    right = total = 0
    for images, labels in loader:
        right += (model(images).argmax(dim=1) == labels).sum().item()
        total += len(labels)
    model.train()
    return right / total


def main():
    p = parser(__doc__.splitlines()[0], steps=400)
    p.add_argument("--batch", type=int, default=50)
    p.add_argument("--lr", type=float, default=0.05)
    args = begin(p)

    with np.load(DATA / "mnist_3k.npz") as file:
        train, test = images_and_labels(file, "train"), images_and_labels(file, "test")
    loader = DataLoader(train, batch_size=args.batch, shuffle=True)
    model = Net()
    optimizer = torch.optim.SGD(model.parameters(), lr=args.lr, momentum=0.9, nesterov=True)
    schedule = torch.optim.lr_scheduler.StepLR(optimizer, step_size=len(loader), gamma=0.7)
    print(f"{which()}: {len(train)} images to learn from, {len(test)} to be tested on")

    progress = Progress(args)
    batches = itertools.chain.from_iterable(itertools.repeat(loader))
    for images, labels in itertools.islice(batches, args.steps):
        loss = F.nll_loss(model(images), labels)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        schedule.step()
        progress.step(loss.item())
    progress.close()

    print(f"right on images it has not seen: {accuracy(model, DataLoader(test, batch_size=100)):.1%}")


if __name__ == "__main__":
    main()
