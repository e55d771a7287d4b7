-- Posts the bodies of a file, one JSON object per line, in turn; each thread begins elsewhere.
--   wrk -t4 -c32 -d15s -s perf/formats/predict.lua http://127.0.0.1:8000/predict -- bodies.jsonl
-- At the end it prints one line for programs, which perf/formats/wrk.py reads.

local threads = {}

function setup(thread)
  thread:set("number", #threads)
  table.insert(threads, thread)
end

function init(arguments)
  requests, next_request = {}, 0
  answered, hasty_503 = {}, 0
  local headers = { ["Content-Type"] = "application/json" }
  for body in io.lines(arguments[1]) do
    requests[#requests + 1] = wrk.format("POST", nil, headers, body)
  end
  next_request = number * 97 % #requests
end

function request()
  next_request = next_request % #requests + 1
  return requests[next_request]
end

local function has(headers, name)
  for key in pairs(headers) do
    if key:lower() == name then return true end
  end
  return false
end

function response(status, headers)
  local key = tostring(status)
  answered[key] = (answered[key] or 0) + 1
  if status == 503 and not has(headers, "retry-after") then hasty_503 = hasty_503 + 1 end
end

function done(summary, latency)
  local total, hasty = {}, 0
  for _, thread in ipairs(threads) do
    hasty = hasty + thread:get("hasty_503")
    for status, count in pairs(thread:get("answered")) do
      total[status] = (total[status] or 0) + count
    end
  end
  local statuses = {}
  for status, count in pairs(total) do
    statuses[#statuses + 1] = string.format('"%s": %d', status, count)
  end
  local fields = {
    string.format('"duration_us": %d', summary.duration),
    string.format('"answered": {%s}', table.concat(statuses, ", ")),
    string.format('"hasty_503": %d', hasty),
    string.format('"timeouts": %d', summary.errors.timeout),
    string.format('"max_us": %d', latency.max),
  }
  for _, name in ipairs({ "connect", "read", "write" }) do
    fields[#fields + 1] = string.format('"%s": %d', name, summary.errors[name])
  end
  for name, percent in pairs({ p50 = 50, p90 = 90, p99 = 99, p999 = 99.9 }) do
    fields[#fields + 1] = string.format('"%s_us": %d', name, latency:percentile(percent))
  end
  print("RESULT {" .. table.concat(fields, ", ") .. "}")
end
