-- SPDX-License-Identifier: MIT
--
-- For `luarocks make` in this folder, against an installed libdreambooth:
-- DREAMBOOTH_DIR=/prefix behind it says where that is not the system's. LuaJIT
-- does without the C module dreambooth.core.

rockspec_format = "3.0"
package = "dreambooth"
version = "scm-1"
source = {
    url = "file://.", -- made where it lies
}
description = {
    summary = "Teaches text-to-image models a subject from a few photos",
    detailed = [[
DreamBooth fine-tuning of Stable Diffusion 1.x models, and drawing with them, by
libdreambooth: on the CPU, with results that are the same bit for bit.]],
    license = "MIT",
}
dependencies = {
    "lua >= 5.1, < 5.5",
}
external_dependencies = {
    DREAMBOOTH = {
        header = "dreambooth/dreambooth.h",
        library = "dreambooth",
    },
}
build = {
    type = "builtin",
    modules = {
        dreambooth = "dreambooth.lua",
        ["dreambooth.ffi"] = "dreambooth/ffi.lua",
        ["dreambooth.core"] = {
            sources = {"dreambooth/core.c"},
            libraries = {"dreambooth"},
            incdirs = {"$(DREAMBOOTH_INCDIR)"},
            libdirs = {"$(DREAMBOOTH_LIBDIR)"},
        },
    },
}
