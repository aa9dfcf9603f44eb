# SPDX-License-Identifier: MIT
"""Teach a text-to-image model a subject from a few photos, and draw it.

    import dreambooth

    model = dreambooth.Model.open("stable-diffusion-v1-5", threads=8)
    trainer = model.trainer(instance_prompt="a [V] dog", class_prompt="a dog",
                            out="my-dog")
    trainer.add("photos")
    for step in trainer:
        print(step.step, step.loss)
    image, = model.sampler(prompt="a [V] dog on the beach", seed=7).run()
    image.write("beach.png")

The names are those of the C library, libdreambooth, and so its manual applies:
options and facts are attributes, `help(dreambooth.Trainer)` lists them.
"""

from ._handles import (Context, Identifier, Image, Model, Pick, Progress,
                       Sampler, SamplerStep, Step, Tokenizer, Trainer,
                       TrainerStep, tokenize)
from ._library import (DreamboothWarning, Error, build_info, errors, path,
                       version)

globals().update(errors)
__version__ = version
__all__ = ["Context", "DreamboothWarning", "Error", "Identifier", "Image",
           "Model", "Pick", "Progress", "Sampler", "SamplerStep", "Step",
           "Tokenizer", "Trainer", "TrainerStep", "build_info", "tokenize",
           *errors]
