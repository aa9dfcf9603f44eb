-- SPDX-License-Identifier: MIT
--
-- The library's functions for LuaJIT. The library hands out its declarations as
-- C text; each prototype in it becomes a function here, under the same name
-- without "dreambooth_". What the C function writes through a pointer, it
-- returns behind the status: model_open(context, folder) gives status, handle.
-- dreambooth/core.c gives the same functions to other Lua interpreters.

local ffi = require "ffi"

-- Compiled code never looks whether Ctrl-C was pressed.
jit.off(true, true)

-- What calls the library looks its functions up each time: the library is
-- unloaded with the last reference to it, not to its functions.
local function load_library()
    local path = os.getenv "DREAMBOOTH_LIBRARY"
    if path and path ~= "" then
        return ffi.load(path)
    end
    local found, library = pcall(ffi.load, "libdreambooth.so.0")
    return found and library or ffi.load "dreambooth"
end

local library = load_library()
local core = {}

ffi.cdef "const char *dreambooth_declarations(void);"
local declarations = ffi.string(library.dreambooth_declarations())
if not pcall(ffi.typeof, "dreambooth_context *") then
    ffi.cdef(declarations)
end

-- As the command does: threads are the library's own, not the BLAS's.
ffi.cdef [[
    void openblas_set_num_threads(int);
    void MKL_Set_Num_Threads(int);
    void bli_thread_set_num_threads(long);
]]
for _, name in ipairs {"openblas_set_num_threads", "MKL_Set_Num_Threads",
                       "bli_thread_set_num_threads"} do
    pcall(function()
        library[name](1)
    end)
end

local function text_of(pointer)
    return pointer ~= nil and ffi.string(pointer) or nil
end

local function same(value)
    return value
end

-- The handle is freed with its last use in Lua.
local function owner_of(kind)
    local function free_handle(handle)
        library["dreambooth_" .. kind .. "_free"](handle)
    end
    core[kind .. "_free"] = function(handle)
        free_handle(ffi.gc(handle, nil))
    end
    return function(handle)
        return handle ~= nil and ffi.gc(handle, free_handle) or nil
    end
end

-- For a parameter that the C function writes to: the type of what it points to,
-- and the function that makes a Lua value of it.
local numbers = {["int"] = true, ["size_t"] = true, ["int64_t"] = true,
                 ["double"] = true}
local function output(parameter)
    parameter = parameter:gsub("%s+", " "):gsub("^ ", "")
    local kind = parameter:match "^dreambooth_(%w+) %*%*"
    if kind then
        return "dreambooth_" .. kind .. " *[1]", owner_of(kind)
    end
    if parameter:match "^const char %*%*" then
        return "const char *[1]", text_of
    end
    local number = parameter:match "^([%w_]+) %*[%w_]+$"
    if numbers[number] then
        return number .. "[1]", tonumber
    end
end

local results = {["const char *"] = text_of, ["size_t "] = tonumber}

local function wrap(name, result, parameters)
    local full_name = "dreambooth_" .. name
    local finish = results[result] or same
    local count, outputs = 0, {}
    for parameter in parameters:gsub("^void$", ""):gmatch "[^,]+" do
        count = count + 1
        local box_type, read = output(parameter)
        if box_type then
            outputs[#outputs + 1] = {place = count, read = read,
                                     new = ffi.typeof(box_type)}
        end
    end
    return function(...)
        local given, boxes, values = {...}, {}, {}
        for i, out in ipairs(outputs) do
            boxes[i] = out.new()
            for place = count, out.place + 1, -1 do
                given[place] = given[place - 1]
            end
            given[out.place] = boxes[i]
        end
        local returned = finish(library[full_name](unpack(given, 1, count)))
        for i, out in ipairs(outputs) do
            values[i] = out.read(boxes[i][0])
        end
        return returned, unpack(values, 1, #outputs)
    end
end

local prototypes = declarations:gsub("/%*.-%*/", "")
for result, name, parameters in
    prototypes:gmatch "([%w_ *]+)dreambooth_([%w_]+)%(([^()]*)%);" do
    if not result:find "typedef" and not name:find "_free$" then
        core[name] = wrap(name, result, parameters)
    end
end

-- What takes or gives arrays is not to be seen from the prototype.

local function list(pointer, count)
    local values = {}
    for i = 1, count do
        values[i] = tonumber(pointer[i - 1])
    end
    return values
end

local function information(ask)
    return function(...)
        local size = 1024 -- always enough
        local text = ffi.new("char[?]", size)
        local given = {...}
        local count = select("#", ...)
        given[count + 1], given[count + 2] = text, size
        local status = ask(unpack(given, 1, count + 2))
        return status, status == 0 and ffi.string(text) or nil
    end
end

for _, name in ipairs {"build_info", "option_info", "fact_info"} do
    core[name] = information(core[name])
end

local encode = core.tokenizer_encode
function core.tokenizer_encode(tokenizer, text)
    local status, count = encode(tokenizer, text, #text, nil, 0)
    local ids = ffi.new("int32_t[?]", math.max(count, 1))
    if status == 0 then
        status = encode(tokenizer, text, #text, ids, count)
    end
    return status, status == 0 and list(ids, count) or nil
end

local encode_padded = core.tokenizer_encode_padded
function core.tokenizer_encode_padded(tokenizer, text, length)
    local ids = ffi.new("int32_t[?]", math.max(length, 1))
    local status, dropped = encode_padded(tokenizer, text, #text, ids, length)
    if status == 0 then
        return status, list(ids, length), dropped
    end
    return status
end

local decode = core.tokenizer_decode
function core.tokenizer_decode(tokenizer, ids)
    local given = ffi.new("int32_t[?]", math.max(#ids, 1), ids)
    local status, length = decode(tokenizer, given, #ids, nil, 0)
    if status ~= 0 then
        return status
    end
    local text = ffi.new("char[?]", length + 1)
    status = decode(tokenizer, given, #ids, text, length + 1)
    return status, ffi.string(text, length)
end

local identifier_ids = core.identifier_ids
function core.identifier_ids(identifier, index)
    return list(identifier_ids(identifier, index))
end

local image_decode = core.image_decode
function core.image_decode(context, name, bytes)
    return image_decode(context, name, bytes, #bytes)
end

-- A pointer keeps the image that it points into.
local images = setmetatable({}, {__mode = "k"})
local image_pixels = core.image_pixels
function core.image_pixels(image)
    local pixels = image_pixels(image)
    images[pixels] = image
    return pixels
end

function core.image_string(image)
    return ffi.string(image_pixels(image),
                      core.image_width(image) * core.image_height(image) * 3)
end

local image_sheet = core.image_sheet
function core.image_sheet(context, handles, columns, margin)
    local pointers = ffi.new("dreambooth_image *[?]", math.max(#handles, 1),
                             handles)
    return image_sheet(context, pointers, #handles, columns, margin)
end

local image_write = core.image_write
function core.image_write(image, path, keys, values)
    local size = math.max(#keys, 1)
    return image_write(image, path, ffi.new("const char *[?]", size, keys),
                       ffi.new("const char *[?]", size, values), #keys)
end

local sampler_latents = core.sampler_latents
function core.sampler_latents(sampler)
    local shape = ffi.new "int64_t[4]"
    local status = sampler_latents(sampler, shape, nil, 0)
    if status ~= 0 then
        return status
    end
    local count = tonumber(shape[0] * shape[1] * shape[2] * shape[3])
    local values = ffi.new("float[?]", count)
    status = sampler_latents(sampler, shape, values, count)
    return status, list(values, count), list(shape, 4)
end

return core
