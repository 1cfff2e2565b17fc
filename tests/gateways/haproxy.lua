-- Ask gql-secrets about a call; haproxy.cfg acts on the three variables that this sets.
core.register_action("verify", { "http-req" }, function(txn)
  -- Only what /verify reads: a large cookie is for your API.
  local asked = { ["x-forwarded-for"] = { txn.f:src() } }
  for _, name in ipairs({ "authorization", "user-agent" }) do
    local values = txn.http:req_get_headers()[name]
    if values then
      asked[name] = {}
      for index = 0, #values do
        table.insert(asked[name], values[index])
      end
    end
  end
  local client = core.httpclient()
  local answer = client:get({ url = "http://127.0.0.1:8080/verify", headers = asked, timeout = 2000 })
  local function first(name)
    local values = answer.headers and answer.headers[name]
    return values and values[0] or ""
  end
  txn:set_var("txn.verify_status", answer.status or 503)
  for _, name in ipairs({ "x-client-id", "x-secret-state", "x-secret-expires-at", "www-authenticate" }) do
    txn:set_var("txn." .. name:gsub("-", "_"), first(name))
  end
end)
