-- A GET with a query and a POST of 1 KB of JSON with a secret, in turns.

local post = {["Content-Type"] = "application/json"}
local body = '{"customer": 7, "password": "secret", "lines": ['
    .. string.rep('{"sku": "a-1", "n": 2}, ', 40) .. '{}]}'
local get = true

function request()
    get = not get
    if get then
        return wrk.format("GET", "/small?page=2&sort=name")
    end
    return wrk.format("POST", "/order?page=2", post, body)
end
