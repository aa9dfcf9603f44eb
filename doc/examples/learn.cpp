/* SPDX-License-Identifier: MIT */
/*
 * learn.c in C++17: handles that free themselves, and errors as
 * exceptions.
 *
 *     c++ -std=c++17 learn.cpp -o learn \
 *         $(pkg-config --cflags --libs libdreambooth)
 *     ./learn stable-diffusion-v1-5 photos "a [V] dog" "a dog" my-dog
 */
#include <iostream>
#include <stdexcept>

#include <dreambooth/dreambooth.h>

template <typename Handle, void (*release)(Handle *)> class Owned
{
  public:
    Owned() = default;
    Owned(const Owned &) = delete;
    Owned &operator=(const Owned &) = delete;
    ~Owned()
    {
        release(handle);
    }
    Handle **out()
    {
        return &handle;
    }
    operator Handle *() const
    {
        return handle;
    }

  private:
    Handle *handle = nullptr;
};

using Context = Owned<dreambooth_context, dreambooth_context_free>;
using Model = Owned<dreambooth_model, dreambooth_model_free>;
using Trainer = Owned<dreambooth_trainer, dreambooth_trainer_free>;

static void check(dreambooth_context *context, int status)
{
    if (status < DREAMBOOTH_OK)
        throw std::runtime_error(context
                                     ? dreambooth_context_error(context)
                                     : dreambooth_status_name(status));
}

static void learn(int argc, char **argv)
{
    Context context;
    Model model;
    Trainer trainer;
    auto set = [&](const char *name, const char *value) {
        check(context, dreambooth_trainer_set(trainer, name, value));
    };

    check(context, dreambooth_context_new(context.out()));
    check(context, dreambooth_context_set(context, "threads", "0"));
    check(context, dreambooth_model_open(model.out(), context, argv[1]));
    check(context, dreambooth_trainer_new(trainer.out(), model));
    set("instance-dir", argv[2]);
    set("instance-prompt", argv[3]);
    set("class-prompt", argv[4]);
    set("out", argv[5]);
    for (int i = 6; i + 1 < argc; i += 2)
        set(argv[i], argv[i + 1]);
    check(context, dreambooth_trainer_run(trainer));
}

int main(int argc, char **argv)
{
    if (argc < 6) {
        std::cerr
            << "usage: learn MODEL PHOTOS INSTANCE-PROMPT CLASS-PROMPT "
               "OUT [OPTION VALUE]...\n";
        return 2;
    }
    try {
        learn(argc, argv);
    } catch (const std::exception &error) {
        std::cerr << "learn: " << error.what() << '\n';
        return 1;
    }
    return 0;
}
