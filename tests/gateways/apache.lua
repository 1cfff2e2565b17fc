-- Ask gql-secrets about a call; the virtual host acts on the variables that this sets.
local socket = require "socket"
local HOST, PORT = "127.0.0.1", 8080
local kept -- this thread's connection to gql-secrets

-- The status and the headers of the answer to a request, or nothing.
local function ask(connection, request)
  if not connection:send(request) then return end
  local line = connection:receive("*l")
  local status = line and tonumber(line:match("^HTTP/1%.1 (%d%d%d)"))
  local headers = {}
  while status do
    line = connection:receive("*l")
    if not line then return end
    if line == "" then break end
    local name, value = line:match("^([^:]+):%s*(.-)%s*$")
    if name then headers[name:lower()] = value end
  end
  local length = tonumber(headers["content-length"])
  if not length or length > 0 and not connection:receive(length) then return end
  return status, headers
end

function verify(r)
  -- Only what /verify reads: a large cookie is for your API.
  local lines = { "GET /verify HTTP/1.1", "Host: " .. HOST, "X-Forwarded-For: " .. r.useragent_ip }
  for _, name in ipairs({ "Authorization", "User-Agent" }) do
    if r.headers_in[name] then table.insert(lines, name .. ": " .. r.headers_in[name]) end
  end
  local request = table.concat(lines, "\r\n") .. "\r\n\r\n"

  -- What a caller may not say to your API, also where a framework reads `_` as `-`. Headers that `Connection` names
  -- would be removed after we set them.
  local reserved = { ["x-client-id"] = true, ["x-forwarded-for"] = true, forwarded = true, authorization = true }
  for name, value in pairs(r:headers_in_table()) do
    local read_as = name:lower():gsub("_", "-")
    if reserved[read_as] or read_as:find("^x%-secret%-") or read_as:find("^x%-acting%-") then
      r.headers_in[name] = nil
    elseif read_as == "connection" then
      r.headers_in[name] = value:lower():match("upgrade") or value:lower():match("close") or "keep-alive"
    end
  end

  local status, answer
  -- A kept connection may be closed just as it is used; asking again on another does no harm.
  for _, connection in ipairs({ kept or socket.tcp(), kept and socket.tcp() }) do
    if connection ~= kept then
      connection:settimeout(2)
      if not connection:connect(HOST, PORT) then break end
    end
    status, answer = ask(connection, request)
    kept = status and answer["connection"] ~= "close" and connection or nil
    if kept ~= connection then connection:close() end
    if status then break end
  end
  if status == 401 then r.err_headers_out["WWW-Authenticate"] = answer["www-authenticate"] end
  if status == 401 or status == 403 then return status end
  if status ~= 200 or not answer["x-client-id"] then return 503 end
  r.subprocess_env["CLIENT_ID"] = answer["x-client-id"]
  r.subprocess_env["SECRET_STATE"] = answer["x-secret-state"]
  r.subprocess_env["SECRET_EXPIRES_AT"] = answer["x-secret-expires-at"]
  return apache2.OK
end
