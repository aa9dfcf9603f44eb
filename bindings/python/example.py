# SPDX-License-Identifier: MIT
"""Teaches a model a subject, and draws it.

    python3 example.py stable-diffusion-v1-5 photos "a [V] dog" "a dog" my-dog
"""

import sys

import dreambooth


def learn(model, photos, instance_prompt, class_prompt, out):
    trainer = model.trainer(instance_prompt=instance_prompt,
                            class_prompt=class_prompt, size=model.size,
                            out=out, resume=True)
    trainer.add(photos)
    last = trainer.run(progress=True)
    if last is not None:
        print(f"{out}: the loss of step {last.step} was {last.loss:.4f}")


def draw(model, prompt, file):
    sampler = model.sampler(prompt=prompt, seed=7)
    for step in sampler:
        if step.step % 10 == 0:
            step.preview().write(file)
    sampler.write(file)


def main():
    if len(sys.argv) != 6:
        sys.exit(__doc__)
    path, photos, instance_prompt, class_prompt, out = sys.argv[1:]
    with dreambooth.Model.open(path) as model:
        try:
            learn(model, photos, instance_prompt, class_prompt, out)
        except KeyboardInterrupt:
            sys.exit("stopped; the same command goes on from the last "
                     "checkpoint")
        draw(model, instance_prompt, f"{out}.png")


if __name__ == "__main__":
    main()
