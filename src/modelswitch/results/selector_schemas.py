# ruff: noqa: E501  (the schema reads better as one line per column)
"""The tidy tables of selectors: what is in them."""

from __future__ import annotations

from modelswitch.config.metrics import METRICS, OF_SELECTION
from modelswitch.results.columns import Schema, columns, metric_column

# Those that have selectors where others have lineages.
OF_SELECTORS = {
    "selection": Schema(
        "selection.csv",
        "one way to select a modality, for one seed and one degradation at one level",
        columns(
            """
            experiment? | text | the configuration's name
            seed | integer | seed of the recognisers and the selector
            selector? | text | the selector's name in the configuration
            method | text | the selector, a baseline such as `largest_probability`, or the oracle
            degradation | text | kind of degradation
            side | text | modality that is degraded, or `both`
            level | number | strength of the degradation; 0 is clean
            seen? | text | whether the selector was trained on this degradation
            images? | integer | pairs of images
            """
        )
        + tuple(metric_column(METRICS[name]) for name in OF_SELECTION)
        + columns(
            """
            ties? | number | share of pairs that a lot decides, as several modalities are equally sure, 0 to 1
            recognisers? | json | modality to lineage of the recognisers, as JSON
            settings? | text | digest of all that the configuration says about the selector but names and seed
            code? | text | digest of the code of its steps
            data? | text | digest of the prepared data sets
            at_chance? | text | `true` if the selector ended no better than naming one modality always
            """
        ),
        key=("selector", "seed", "method", "degradation", "side", "level"),
    ),
    "abstaining": Schema(
        "abstaining.csv",
        "one method that answers where it is sure enough, for one seed in one situation",
        columns(
            """
            experiment? | text | the configuration's name
            seed | integer | seed of the recognisers and the selector
            selector | text | the selector's name in the configuration
            method | text | the selector, or a baseline
            situation | text | `clean`, one side or more degraded in a way `seen` in training or `unseen`, or all sides, `everywhere`
            images? | integer | pairs of images, over all degradations, levels and sides of the situation
            aurc? | number | area under risk over coverage, the mean risk over all coverages, 0 to 1
            allowed? | number | share of wrong answers that is allowed, by which the threshold was found on held-back samples
            coverage? | number | share of the test samples that are answered with that threshold, 0 to 1
            risk? | number | share of these answers that are wrong; empty where nothing is answered
            """
        ),
        key=("selector", "seed", "method", "situation"),
    ),
    "risk_coverage": Schema(
        "risk_coverage.csv",
        "one point of a curve of risk over coverage, of what abstaining.csv has a row for",
        columns(
            """
            experiment? | text | the configuration's name
            seed | integer | as in abstaining.csv
            selector | text | as in abstaining.csv
            method | text | as in abstaining.csv
            situation | text | as in abstaining.csv
            coverage | number | share of the samples, the surest first, that are answered
            risk | number | share of these answers that are wrong, 0 to 1
            """
        ),
        key=("selector", "seed", "method", "situation", "coverage"),
    ),
    "verification": Schema(
        "verification.csv",
        "one way to compare two samples, for one seed in one situation, on people in no training",
        columns(
            """
            experiment? | text | the configuration's name
            seed | integer | seed of the recognisers and the selector
            selector | text | the selector's name in the configuration
            method | text | the selector, one recogniser, or a fusion of the recognisers' cosines
            situation | text | `clean`, one side or more degraded in a way `seen` in training or `unseen`, or all sides, `everywhere`; empty where the selector cannot decide
            people? | integer | people who are tested
            genuine? | integer | pairs of samples of one person
            impostors? | integer | pairs of two people
            eer? | number | equal error rate, 0 to 1
            fnmr? | number | false non-match rate at a false match rate of at most 0.001, or of one pair where there are fewer than 1,000 of two people, 0 to 1
            fmr? | number | the false match rate that it is at, 0 to 1
            d_prime? | number | difference of the mean scores of both kinds of pairs over the root of their mean variance
            recognisers? | json | as in selection.csv
            cannot? | text | why the selector cannot decide for people whom it was not trained with
            """
        ),
        key=("selector", "seed", "method", "situation"),
    ),
    "det": Schema(
        "det.csv",
        "one point of a curve of detection error tradeoff (DET), of what verification.csv has a row for",
        columns(
            """
            experiment? | text | the configuration's name
            seed | integer | as in verification.csv
            selector | text | as in verification.csv
            method | text | as in verification.csv
            situation | text | as in verification.csv
            fmr | number | false match rate, 0 to 1
            fnmr | number | smallest false non-match rate at a false match rate of at most that
            """
        ),
        key=("selector", "seed", "method", "situation", "fmr"),
    ),
    "selector_exports": Schema(
        "selector_exports.csv",
        "one selector with its recognisers in one file for devices, run on the whole test set, clean and with each modality in turn degraded by each degradation at its highest level",
        columns(
            """
            experiment? | text | the configuration's name
            seed | integer | seed of the recognisers and the selector
            selector | text | the selector's name in the configuration
            format | text | `onnx`
            modalities? | text | what it takes an image of each, joined by `;`
            file_bytes | integer | size of the file, bytes
            images | integer | samples, over all conditions
            accuracy | number | share of them that the file answers rightly, 0 to 1
            network_accuracy | number | share that torch answers rightly with the same models
            agreement | number | share for which both name the same class
            selection_agreement | number | share for which both pick the same modality
            """
        ),
        key=("selector", "seed", "format"),
        collected=True,
    ),
    "selector_latency": Schema(
        "selector_latency.csv",
        "one file of selector_exports.csv of the first seed on one machine, with so many threads and samples at a time",
        columns(
            """
            experiment? | text | the configuration's name
            seed | integer | as in selector_exports.csv
            selector | text | as in selector_exports.csv
            format | text | as in selector_exports.csv
            machine? | text | where it was measured
            threads | integer | processor threads
            batch | integer | samples at a time, each an image of every modality
            median_ms | number | milliseconds for them, median
            p5_ms | number | 5th percentile
            p95_ms | number | 95th percentile
            peak_memory_mb? | number | largest resident memory of a process with the runtime alone, MiB
            """
        ),
        key=("selector", "seed", "format", "machine", "threads", "batch"),
        collected=True,
    ),
}
