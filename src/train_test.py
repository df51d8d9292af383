"""Train and test an experiment: ``python3 src/train_test.py -e EXPERIMENT.json -m MODEL.json``.

The same as ``fewshot-audio train``; works without the package being installed, because Python puts this file's folder
first on its path.
"""

import sys

from fewshot_audio.cli import main, train

# The folder that holds the dataset folders; --data-root and the config's "data_root" go before it.
data_root = "data"

if __name__ == "__main__":
    train.default_data_root = data_root
    train.command = ["python3", sys.argv[0]]
    main(["train", *sys.argv[1:]])
