"""A training run: recipe in, weights and a record of how they came about out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from algo.models import build_model
from algo.prune.masking import Masks, matrix_weights
from algo.prune.plan import Pruned
from algo.quant.ranges import Ranges, ranges_of_state
from algo.timm_compat import resolve_data_config
from algo.train.batches import Batch, Loader
from algo.train.checkpoint import load_checkpoint, save_checkpoint
from algo.train.images import load_images
from algo.train.loss import blended_cross_entropy, distillation, feature_distance
from algo.train.processes import Processes
from algo.train.quantized import fake_quantized, measured_ranges, settings_of
from algo.train.recipe import Recipe
from algo.train.record import Record
from algo.train.schedule import kept_blocks, learning_rate
from algo.train.score import top1
from algo.train.start import starting_model
from algo.train.student import Student, masks_for, optimizer_for, prepare_channels
from algo.train.tokens import final_drops, rules_at, token_facts, token_share
from algo.weights import save_weights
from flows.contracts.errors import ConfigError
from flows.contracts.images import ImageSet

Progress = Callable[[str, float], None]
Share = Callable[[Any, Masks], float]
"""``(recipe's budget, masks) -> share to keep``: how a budget in cycles or multiplications becomes a share."""

WEIGHTS = "weights.safetensors"


@dataclass(frozen=True, eq=False)
class Trained:
    """The end of a run.

    Attributes
    ----------
    weights : file of the trained, pruned weights with timm names
    record : what was logged
    pruned : weights, plan and masks
    """

    weights: Path
    record: Record
    pruned: Pruned | None


def train(
    recipe: Recipe,
    out: Path,
    *,
    restart: bool = False,
    share_of: Share | None = None,
    progress: Progress | None = None,
) -> Trained | None:
    """Train as a recipe says; a run that was stopped goes on where its last checkpoint is.

    Parameters
    ----------
    recipe : what to do
    out : folder for checkpoint, log, curves and weights
    restart : forget a checkpoint
    share_of : needed for budgets other than ``keep``
    progress : called with the name of a stage and the finished share of it

    Returns
    -------
    None in processes other than the first.

    Raises
    ------
    ConfigError, WeightsError, ImageError
        For whatever in the recipe is unusable.
    """
    with Processes() as processes, _threads(recipe.threads):
        return _Run(recipe, out, processes, share_of, progress or (lambda stage, share: None)).run(restart=restart)


class _Run:
    def __init__(self, recipe: Recipe, out: Path, processes: Processes, share_of: Share | None,
                 progress: Progress) -> None:
        self.recipe, self.out, self.processes, self.progress = recipe, out, processes, progress
        if recipe.batch % processes.world:
            raise ConfigError(f"batch {recipe.batch} cannot be divided among {processes.world} processes")
        train_set, self.test_set = load_images(recipe.data.train), load_images(recipe.data.test)
        classes = _classes(train_set, self.test_set)
        model, self.origin = starting_model(recipe.model, recipe.weights, recipe.image_size, classes, recipe.seed)
        config = resolve_data_config({}, model=model)
        model.to(processes.device)
        self.mean, self.std, self.size = config["mean"], config["std"], model.patch_embed.img_size[0]
        self.dense = matrix_weights(build_model(recipe.model).blocks)
        self.names = [str(name) for name in train_set.names] or [str(index) for index in range(classes)]
        dtype = getattr(torch, recipe.precision)
        self.student = Student(model, masks_for(model, recipe.prune) if recipe.prune else None, dtype)
        self.student.to(processes.device)
        self.teacher = self._teacher(classes, dtype)
        self.loader = Loader(train_set, self.size, recipe.batch, recipe.augment, self.mean, self.std, recipe.seed,
                             processes.rank, processes.world, recipe.data.limit)
        if recipe.prune is not None and recipe.prune.prepare and recipe.prune.method != "fixed":
            assert self.student.masks is not None
            # all processes look at the whole batch, so that they agree
            images = replace(self.loader, rank=0, world=1).at(0).images
            prepare_channels(model, self.student.masks, images.to(processes.device))
        self.steps = max(1, math.ceil(recipe.epochs * self.loader.images / recipe.batch))
        self.optimizer = optimizer_for(self.student, recipe.optimizer, recipe.prune)
        self.share_of = share_of
        self.target = self._target()
        self.ranges: Ranges | None = None

    def _teacher(self, classes: int, dtype: torch.dtype) -> Student | None:
        settings = self.recipe.teacher
        if settings is None:
            return None
        model, _ = starting_model(self.recipe.model, settings.weights, self.size, classes, 0)
        return Student(model.requires_grad_(False).eval(), None, dtype).to(self.processes.device)

    def _target(self) -> float:
        """Share of weights to keep in the end."""
        prune, masks = self.recipe.prune, self.student.masks
        if prune is None or masks is None:
            return 1.0
        if prune.budget.keep is not None:
            return prune.budget.keep
        if self.share_of is None:
            raise ConfigError("a budget of cycles or macs needs a cost model; run it with 'sievit train'")
        return self.share_of(prune.budget, masks)

    def run(self, *, restart: bool) -> Trained | None:
        described = self.recipe.model_dump(mode="json")
        before = None if restart else load_checkpoint(self.out, described)
        record = Record()
        if before is not None:
            record = Record.restored(before["record"])
            self.student.load_state_dict(before["student"])
            self.optimizer.load_state_dict(before["optimizer"])
            self.target = before["target"]
            if self.student.masks is not None:
                self.student.masks.refresh()
            self.ranges = ranges_of_state(before["ranges"])
            self._quantize()
        first = record.steps
        module = self.processes.wrapped(self.student)
        moment, moment_images = time.monotonic(), 0
        for step, batch in enumerate(self.loader.run(first, self.steps), first):
            values = self._step(module, step, batch.to(self.processes.device))
            moment_images += self.recipe.batch
            record.step(step, self.recipe.batch, values)
            if self._evaluates(step):
                record.evaluated(self._evaluate(step))
            if (step + 1) % self.recipe.checkpoint == 0 or step + 1 == self.steps:
                record.speed(moment_images / (time.monotonic() - moment))
                self._save(described, record)
                moment, moment_images = time.monotonic(), 0
            self.progress("train", (step + 1) / self.steps)
        return self._finish(record)

    def _step(self, module: Any, step: int, batch: Batch) -> dict[str, float]:
        share = step / self.steps
        recipe, student = self.recipe, self.student
        factor = learning_rate((step + 1) / self.steps, recipe.optimizer.warmup, recipe.optimizer.final)
        if recipe.quantize is not None and share >= recipe.quantize.start:
            factor *= recipe.quantize.lr
        for group in self.optimizer.param_groups:
            group["lr"] = group["peak"] * factor
        self._masks(share)
        drops = rules_at(student.model, recipe.tokens, share)
        if recipe.quantize is not None and share >= recipe.quantize.start and not student.quantized:
            self.ranges = measured_ranges(student.model, student.masks, self.loader, recipe.quantize,
                                          final_drops(student.model, recipe.tokens))
            self._quantize()
        wanted = recipe.teacher is not None and recipe.teacher.features > 0 and not student.quantized
        answer = module(batch.images, drops, features=wanted)
        loss, parts = self._loss(answer, batch)
        if student.masks is not None and not student.masks.frozen and recipe.prune is not None and \
                recipe.prune.regulariser:
            loss = loss + recipe.prune.regulariser * student.masks.penalty()
        loss.backward()
        if recipe.optimizer.clip:
            torch.nn.utils.clip_grad_norm_(student.model.parameters(), recipe.optimizer.clip)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        return {"lr": recipe.optimizer.lr * factor, "loss": loss.item(), **parts,
                "kept_weights": student.masks.keep if student.masks else 1.0,
                "kept_tokens": token_share(recipe.tokens, share)}

    def _loss(self, answer: Any, batch: Batch) -> tuple[Tensor, dict[str, float]]:
        recipe = self.recipe
        labels = blended_cross_entropy(answer.logits, batch, recipe.label_smoothing)
        right = (answer.logits.argmax(1) == batch.labels).float().mean().item()
        parts = {"cross_entropy": labels.item(), "train_top1": right}
        if self.teacher is None or recipe.teacher is None:
            return labels, parts
        settings = recipe.teacher
        with torch.no_grad():
            taught = self.teacher(batch.images, {}, features=bool(answer.features))
        answers = distillation(answer.logits, taught.logits, settings.temperature)
        loss = (1 - settings.alpha) * labels + settings.alpha * answers
        parts["distillation"] = answers.item()
        if answer.features:
            distance = feature_distance(answer.features, taught.features)
            loss = loss + settings.features * distance
            parts["features"] = distance.item()
        return loss, parts

    def _masks(self, share: float) -> None:
        """Masks for this step; they stay as they are once frozen."""
        masks, prune = self.student.masks, self.recipe.prune
        if masks is None or prune is None or masks.frozen:
            return
        if share < prune.freeze:
            masks.keep = kept_blocks(share, prune.start, prune.end, self.target)
            masks.refresh()
            return
        if prune.budget.keep is None and self.share_of is not None:
            self.target = self.share_of(prune.budget, masks)  # the masks as they are now have to meet the budget
        masks.keep = self.target
        masks.freeze()

    def _quantize(self) -> None:
        """Let the student compute integers, if ranges have been measured."""
        if self.ranges is None or self.recipe.quantize is None:
            return
        model, masks = self.student.model, self.student.masks
        self.student.quantize(fake_quantized(model, masks, self.ranges, self.loader, self.recipe.quantize,
                                             final_drops(model, self.recipe.tokens)))

    def _evaluates(self, step: int) -> bool:
        every = max(1, round(self.recipe.evaluate * self.loader.images / self.recipe.batch))
        return self.processes.first and ((step + 1) % every == 0 or step + 1 == self.steps)

    def _evaluate(self, step: int) -> dict[str, float]:
        last = step + 1 == self.steps
        share = 1.0 if last else (step + 1) / self.steps
        limit = None if last else self.recipe.evaluate_images
        self.student.eval()
        drops = rules_at(self.student.model, self.recipe.tokens, share)
        accuracy = top1(self.student, self.test_set, self.size, self.mean, self.std, drops, limit=limit,
                        progress=lambda part: self.progress("evaluate", part))
        self.student.train()
        count = min(limit or len(self.test_set), len(self.test_set))
        return {"step": step + 1, "images_seen": (step + 1) * self.recipe.batch, "images": count, "top1": accuracy,
                "kept_weights": self.student.masks.kept_share(self.dense) if self.student.masks else 1.0,
                "kept_tokens": token_share(self.recipe.tokens, share)}

    def _save(self, described: dict[str, Any], record: Record) -> None:
        if not self.processes.first:
            return
        save_checkpoint(self.out, described, {
            "student": self.student.state_dict(), "optimizer": self.optimizer.state_dict(), "target": self.target,
            "ranges": self.ranges.state() if self.ranges is not None else {}, "record": record.state()})
        record.write(self.out)

    def _finish(self, record: Record) -> Trained | None:
        if not self.processes.first:
            return None
        masks = self.student.masks
        pruned = masks.at(self.target) if masks is not None else None
        state = pruned.state if pruned is not None else self.student.model.cpu().state_dict()
        facts = {"origin": self.recipe.origin or f"trained from {self.origin}", "class_names": self.names,
                 "mean": list(self.mean), "std": list(self.std), "top1": record.evaluations[-1]["top1"],
                 **token_facts(self.recipe.tokens)}
        ranges = self.ranges
        if ranges is not None and self.recipe.quantize is not None:
            facts["settings"] = asdict(settings_of(self.recipe.quantize))
            ranges = ranges.keep_neurons(pruned.plan.neurons) if pruned is not None else ranges
        path = self.out / WEIGHTS
        save_weights(state, path, facts, ranges)
        record.write(self.out, curves=True)
        return Trained(path, record, pruned)


def _classes(*sets: ImageSet) -> int:
    """Number of classes of the data sets.

    Raises
    ------
    ConfigError
        When a set is empty or the class names differ.
    """
    for source in sets:
        if not len(source):
            raise ConfigError("a data set of the recipe has no images")
    names = [tuple(str(name) for name in source.names) for source in sets if len(source.names)]
    if len(set(names)) > 1:
        raise ConfigError("training and test images have different class names; give sets of the same classes")
    largest = int(max(np.max(source.label) for source in sets)) + 1
    return max(largest, *(len(group) for group in names)) if names else largest


@contextmanager
def _threads(count: int) -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(count)
    try:
        yield
    finally:
        torch.set_num_threads(before)
