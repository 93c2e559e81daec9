# ruff: noqa: E501  (the schema reads better as one line per column)
"""The tidy tables: what is in them."""

from __future__ import annotations

from modelswitch.config.metrics import of_models
from modelswitch.results.columns import Schema, columns, metric_column
from modelswitch.results.selector_schemas import OF_SELECTORS
from modelswitch.wording import markdown_table

SCHEMAS = {
    "models": Schema(
        "models.csv",
        "one trained model (lineage, seed and repeat) on one split",
        columns(
            """
            experiment? | text | the configuration's name
            dataset | text | the data set's name in the configuration
            seed | integer | seed of the split, the initial weights and the order of samples
            repeat?0 | integer | of a model that is trained several times for a seed, which time: 0 is the first, from which others are switched; all later tables of numbers have the mean over them
            lineage | text | the path from the first model down, e.g. `teacher/assistant@kd/student@kd`
            model | text | name of this model in the configuration
            transfer? | text | transfer that made it from its parent; empty for a first model
            parent? | text | lineage of its teacher; empty for a first model
            chains? | text | labels of the chains that end here, joined by `;`
            origin? | text | where its first weights come from: `fresh`, `given`, `merged` from others, `pruned`, `grown` or `quantised` from its parent
            split | text | `validation` or `test`
            images? | integer | images in the split
            """
        )
        + tuple(metric_column(metric) for metric in of_models())
        + columns(
            """
            epochs? | integer | epochs of the last training
            precision? | text | `float32` or `bfloat16`
            rule? | text | rule that weights soft against hard loss for each sample; empty for a first model
            delta? | number | shift of the soft loss's weight, for rules that have one
            soft? | number | λ of its transfer, the weight of the soft loss, 0 to 1
            temperature? | number | T of the soft loss
            output_loss? | text | name of its transfer's output loss; empty for a first model
            hint? | text | `pretrain`, `joint`, `pretrain+joint`, or empty without hints
            hint_losses? | text | names of the losses between inner layers, in their order, with a + between
            views? | text | `live` or `stored`
            settings? | json | all that the configuration says about its training, as JSON; what a mean over seeds has in common, and what two weighting rules have in common but the weighting
            code? | json | digests of the code that trained it, the package's (`train` or `distil`) and the user's own by path, as JSON
            data? | text | checksum of the prepared data set
            shapes? | text | digest of names and shapes of its weights
            surroundings? | json | what can change the bits of equal trainings (device, threads, versions, …), as JSON
            at_chance? | text | `true` if it ended no better than a constant guess, on validation images or else on those for testing
            same_first_weights? | text | `true` if the seed does not change its first weights; own families always heed it, and say nothing
            mixed_arithmetic? | text | `true` if it was stopped and went on with other threads, processor or libraries
            """
        ),
        key=("dataset", "seed", "repeat", "lineage", "split"),
        collected=True,
    ),
    "history": Schema(
        "history.csv",
        "one epoch of one training",
        columns(
            """
            experiment? | text | the configuration's name
            dataset | text | the data set's name
            seed | integer | as in models.csv
            repeat?0 | integer | as in models.csv
            lineage | text | as in models.csv
            stage? | text | `train`, or `hint` for the hint pre-training before it
            epoch | integer | counted from 1
            learning_rate? | number | at the end of the epoch
            loss? | number | mean of the whole loss over the epoch; its terms follow as `loss_<term>`
            validation_accuracy? | number | after the epoch, on the validation split, 0 to 1
            validation_nll? | number | after the epoch, on the validation split, nats per image
            validation_loss? | number | loss of a hint's pre-training on the images held back, where it may end early
            validation_seconds? | number | wall-clock time of answering it
            seconds? | number | wall-clock time of the epoch's training
            teacher_wrong? | number | share of the epoch's training views on which the teacher is wrong, 0 to 1
            weight_soft? | number | mean weight of the soft loss over the epoch
            weight_hard? | number | mean weight of the hard loss over the epoch
            """
        ),
        key=("dataset", "seed", "repeat", "lineage", "stage", "epoch"),
        collected=True,
    ),
    "predictions": Schema(
        "predictions.parquet",
        "one model's answer to one image; of several repeats for a seed that of the first",
        columns(
            """
            dataset | text | the data set's name
            seed | integer | as in models.csv
            lineage | text | as in models.csv
            split | text | `validation` or `test`
            index | integer | the image's row in the split
            label | integer | number of the right class
            label_name? | text | its name
            predicted | integer | number of the class with the largest output
            predicted_name? | text | its name
            confidence | number | probability given to the predicted class, 0 to 1
            probability_true? | number | probability given to the right class, 0 to 1
            """
        ),
        key=("dataset", "seed", "lineage", "split", "index"),
        collected=True,
    ),
    "reading": Schema(
        "reading.csv",
        "one fact about how a data set was read",
        columns(
            """
            dataset | text | the data set's name
            fact | text | what it is about: `pixels`, `clipped`, `left out`, …
            found | text | what was found
            """
        ),
        key=("dataset", "fact"),
        collected=True,
    ),
    "data_classes": Schema(
        "data_classes.csv",
        "one class of a data set",
        columns(
            """
            dataset | text | the data set's name
            label | integer | number of the class, from 0, as in all other tables and in the models' outputs
            label_name | text | name of the class
            train | integer | images for training; those for validation are among them unless the data have their own
            validation? | integer | images that the data have for validation
            test? | integer | images for testing; not in a search
            """
        ),
        key=("dataset", "label"),
        collected=True,
    ),
    "per_class": Schema(
        "per_class.csv",
        "one model on the images of one class of a split",
        columns(
            """
            dataset | text | the data set's name
            seed | integer | as in models.csv
            repeat?0 | integer | as in models.csv
            lineage | text | as in models.csv
            split | text | `validation` or `test`
            label | integer | the class's number
            label_name | text | its name
            images? | integer | images of the class in the split
            recall | number | share of them that are answered rightly: the class's accuracy, 0 to 1; empty without images
            precision? | number | share of the answers with this class that are right, 0 to 1; empty if it is no image's answer
            f1? | number | harmonic mean of the two, 0 to 1; empty where both are
            """
        ),
        key=("dataset", "seed", "repeat", "lineage", "split", "label"),
        collected=True,
    ),
    "class_confusions": Schema(
        "class_confusions.csv",
        "the images of one class to which a model gave one answer; what never occurs has no row",
        columns(
            """
            dataset | text | the data set's name
            seed | integer | as in models.csv
            repeat?0 | integer | as in models.csv
            lineage | text | as in models.csv
            split | text | `validation` or `test`
            label | integer | the right class
            label_name | text | its name
            predicted | integer | the class that was answered
            predicted_name | text | its name
            images | integer | how many
            """
        ),
        key=("dataset", "seed", "repeat", "lineage", "split", "label", "predicted"),
        collected=True,
    ),
    "weights": Schema(
        "weights.csv",
        "one bin of the histogram of a model's per-sample soft weights",
        columns(
            """
            dataset | text | the data set's name
            seed | integer | as in models.csv
            repeat?0 | integer | as in models.csv
            lineage | text | as in models.csv
            bin_left | number | lower edge of the bin (weight of the soft loss)
            bin_right | number | upper edge of the bin; the last bin holds weights above 1 too
            count_right | integer | training views in the bin on which the teacher is right
            count_wrong | integer | training views in the bin on which the teacher is wrong
            """
        ),
        key=("dataset", "seed", "repeat", "lineage", "bin_left"),
        collected=True,
    ),
    "responses": Schema(
        "responses.csv",
        "one teacher whose responses to fixed views of the training images are stored",
        columns(
            """
            experiment? | text | the configuration's name
            dataset | text | the data set's name
            seed | integer | as in models.csv
            lineage | text | the teacher
            views? | integer | fixed views of every training image
            folds? | integer | parts for out-of-fold responses; 0 for none
            teacher_wrong? | number | share of the stored views on which the teacher is wrong, 0 to 1
            """
        ),
        key=("dataset", "seed", "lineage"),
        collected=True,
    ),
    "exports": Schema(
        "exports.csv",
        "one trained model in one format for devices, run on the whole test set in that format's runtime",
        columns(
            """
            experiment? | text | the configuration's name
            dataset | text | the data set's name
            seed | integer | as in models.csv
            lineage | text | as in models.csv
            format | text | `onnx`, `onnx-int8`, …
            file_bytes | integer | size of the format's files, bytes
            images | integer | test images
            accuracy | number | share of them that the file answers rightly, 0 to 1
            network_accuracy | number | share that the network answers rightly that it was made from
            agreement | number | share for which both name the same class
            largest_difference | number | largest difference of a probability
            balanced_accuracy? | number | mean over the classes of the share that the file answers rightly
            ece? | number | expected calibration error of the file's probabilities, 0 to 1
            """
        ),
        key=("dataset", "seed", "lineage", "format"),
        collected=True,
    ),
    "latency": Schema(
        "latency.csv",
        "one file of the first seed on one machine, with so many threads and images at a time",
        columns(
            """
            experiment? | text | the configuration's name
            dataset | text | the data set's name
            seed | integer | as in models.csv
            lineage | text | as in models.csv
            format | text | as in exports.csv, or `torch` for the network itself
            machine? | text | where it was measured
            threads | integer | processor threads
            batch | integer | images at a time
            median_ms | number | milliseconds for them, median
            p5_ms | number | 5th percentile
            p95_ms | number | 95th percentile
            peak_memory_mb? | number | largest resident memory of a process with the runtime alone, MiB
            """
        ),
        key=("dataset", "seed", "lineage", "format", "machine", "threads", "batch"),
        collected=True,
    ),
    **OF_SELECTORS,
    "claims": Schema(
        "claims.csv",
        "one claim of the configuration and what became of it",
        columns(
            """
            claim | text | the claim's name in the configuration
            verdict | text | `supported`, `not supported`, `contradicted` or `not tested`
            better | text | side that is claimed to be better
            than? | text | side that it is compared with; empty for a trend
            rises_with? | text | column with which the metric is claimed to rise
            metric | text | what is compared
            split? | text | `validation` or `test`
            smallest | number | smallest difference of interest
            estimate? | number | mean over seeds of the improvement (or rise), in the metric's unit
            low? | number | lower bound of its t interval at the level `alpha`, 95 % without looks; of several rivals, that of the lead over the best
            high? | number | upper bound
            bootstrap_low? | number | lower bound of its percentile bootstrap interval
            bootstrap_high? | number | upper bound
            seeds? | integer | seeds that both sides have, as many of them as count at its look
            planned_seeds? | integer | seeds that the study is to have
            look? | integer | which look it is from, 1 the first; empty where no rule says when to look
            looks? | integer | how many looks the rule has
            alpha? | number | two-sided level of interval and verdict
            spread? | number | standard deviation of the differences over seeds, in the metric's unit
            p? | number | paired t test, two-sided; of several rivals as the interval
            p_holm? | number | the same, Holm-corrected over all claims of the experiment but those about what has no error
            permutation_p? | number | exact test by sign flips
            mcnemar_p? | number | exact McNemar test on the split's images, pooled over seeds (accuracy only)
            seeds_needed? | number | seeds to find a difference of this size (or of `smallest`) with 80 % power
            note? | text | what a reader has to know beside the numbers
            statement? | text | the claim in words
            """
        ),
        key=("claim",),
    ),
}


# Files that collecting the results of trainings leaves, whatever the experiment.
COLLECTED = tuple(schema.file for schema in SCHEMAS.values() if schema.collected)


def documentation() -> str:
    """The schema as Markdown."""
    lines = [
        "# The tidy tables",
        "",
        "Every run writes its results as tables with one row per observation in",
        "`results/<experiment>/tables/`. Every figure and summary is made from them and from",
        "nothing else, so they can be made again, or made differently, without training anything:",
        "",
        "```",
        "python workflow/scripts/figures.py --tables results/<experiment>/tables --output figures",
        "```",
        "",
        "In Python, `modelswitch.results.tables.Tables(folder).models` (or `.history`, …) is a",
        "pandas data frame. Empty cells mean that there is nothing to say, never zero. A column marked *may be",
        "missing* can be absent from a table that you bring yourself. A CSV file may be compressed:",
        "`selection.csv.gz`.",
        "",
        "This file is generated by `python -m modelswitch.results.schema > docs/tables.md`.",
    ]
    for name, schema in SCHEMAS.items():
        lines += ["", f"## {schema.file}", "", f"One row: {schema.row}.", ""]
        if name == "history":
            lines += [
                "Terms of the loss follow as further columns `loss_<term>`, and the weights of hints that have a schedule as `weight_hint…`.",
                "",
            ]
        rows = [
            (f"`{c.name}`", c.kind if c.required else f"{c.kind}, may be missing", c.meaning)
            for c in schema.columns
        ]
        lines.append(markdown_table(("column", "kind", "meaning"), rows, padded=False))
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(documentation(), end="")
