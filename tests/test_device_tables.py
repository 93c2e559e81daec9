"""Files for devices beside their networks: from tables whose answer is known."""

import pandas as pd
import pytest

from modelswitch.results import devices
from modelswitch.results.table_files import write_table
from modelswitch.results.tables import Tables


def test_a_network_stands_beside_its_files_with_their_seeds_and_the_first_one_s_times(tmp_path):
    models = [
        {"dataset": "d", "seed": seed, "lineage": "m", "model": "m", "split": "test",
         "accuracy": accuracy, "parameters": 10, "file_bytes": 100}
        for seed, accuracy in enumerate((0.84, 0.80, 0.82))
    ]  # fmt: skip
    exports = [
        {"dataset": "d", "seed": 0, "lineage": "m", "format": "onnx", "accuracy": 0.85,
         "network_accuracy": 0.84, "agreement": 0.99, "file_bytes": 50, "images": 100,
         "largest_difference": 0.1}
    ]  # fmt: skip
    latency = [
        {"dataset": "d", "seed": seed, "lineage": "m", "format": "onnx", "machine": "x",
         "threads": 1, "batch": 1, "median_ms": ms, "p5_ms": ms, "p95_ms": ms}
        for seed, ms in ((0, 10.0), (1, 30.0))
    ]  # fmt: skip
    for name, rows in (("models", models), ("exports", exports), ("latency", latency)):
        write_table(tmp_path, name, pd.DataFrame(rows))
    network, file = devices.exported(Tables(tmp_path))
    assert network.accuracy == file.network_accuracy == {0: pytest.approx(0.84)}
    assert file.on["x"][1, 1]["median_ms"] == 10.0
