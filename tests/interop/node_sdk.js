// The vendor's Node SDK at work with temporary keys: reads one JSON object on stdin, prints one result per step.
//
// In:  {"credentials": {"TmpSecretId", "TmpSecretKey", "SecurityToken", "StartTime", "ExpiredTime"},
//       "bucket", "region", "domain": "127.0.0.1:PORT", "protocol": "http:",
//       "steps": [{"do": "put" | "get" | "head" | "delete", "key", "body"?, "headers"?}]}
// Out: [{"ok": true, "status": 200, "headers": {...}, "body"? (of get)}, {"ok": false, "status": 403, "code": "AccessDenied", "message"}]
//
// A refusal is a result and ends nothing. A HEAD's refusal has no body, so its code is only the status as text.
'use strict';

// The SDK's HTTP client obeys the proxy variables, and no proxy knows our loopback.
process.env.NO_PROXY = process.env.no_proxy = '127.0.0.1,localhost';

const fs = require('fs');
const COS = require('cos-nodejs-sdk-v5');

const work = JSON.parse(fs.readFileSync(0, 'utf-8'));
const cos = new COS({
  Domain: work.domain,
  Protocol: work.protocol,
  AutoSwitchHost: false,
  KeepAlive: false,
  Timeout: 10000,
  getAuthorization: (_options, callback) => callback(work.credentials),
});
const METHODS = { put: 'putObject', get: 'getObject', head: 'headObject', delete: 'deleteObject' };

async function run(step) {
  const params = { Bucket: work.bucket, Region: work.region, Key: step.key, Headers: step.headers || {} };
  if (step.do === 'put') params.Body = step.body || '';
  try {
    const data = await cos[METHODS[step.do]](params);
    const result = { ok: true, status: data.statusCode, headers: data.headers };
    return step.do === 'get' ? { ...result, body: data.Body.toString('utf-8') } : result;
  } catch (error) {
    return { ok: false, status: error.statusCode || 0, code: error.code, message: error.message };
  }
}

(async () => {
  const results = [];
  for (const step of work.steps) results.push(await run(step));
  console.log(JSON.stringify(results));
})();
