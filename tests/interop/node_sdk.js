// The vendor's Node SDK at work with temporary keys: reads one JSON object on stdin, prints one result per step.
//
// In:  {"grant": the broker's answer to POST /v1/ROUTE/credentials, "domain": "127.0.0.1:PORT",
//       "keys": "callback" (getAuthorization) | "options" (SecretId, SecretKey, SecurityToken),
//       "steps": [{"do": "putObject" | "getObject" | …, "Key"?, "Body"?, "Headers"?, and what else the method takes}]}
// Out: [{"status": 200, "headers": {...}, "body"? (of getObject)}, {"status": 403, "code": "AccessDenied", "message"}]
//
// A refusal is a result and ends nothing. A HEAD's refusal has no body, so its code is only the status as text.
'use strict';

// The SDK's HTTP client obeys the proxy variables, and no proxy knows our loopback.
process.env.NO_PROXY = process.env.no_proxy = '127.0.0.1,localhost';

const fs = require('fs');
const COS = require('cos-nodejs-sdk-v5');

const { grant, domain, keys, steps } = JSON.parse(fs.readFileSync(0, 'utf-8'));
const { tmpSecretId, tmpSecretKey, sessionToken } = grant.credentials;
const GIVEN = {
  callback: {
    getAuthorization: (_options, callback) =>
      callback({
        TmpSecretId: tmpSecretId,
        TmpSecretKey: tmpSecretKey,
        SecurityToken: sessionToken,
        StartTime: grant.startTime,
        ExpiredTime: grant.expiredTime,
      }),
  },
  options: { SecretId: tmpSecretId, SecretKey: tmpSecretKey, SecurityToken: sessionToken },
};
const cos = new COS({
  Domain: domain,
  Protocol: 'http:',
  AutoSwitchHost: false,
  KeepAlive: false,
  Timeout: 10000,
  ...GIVEN[keys],
});

async function run({ do: method, ...given }) {
  try {
    const data = await cos[method]({ Bucket: grant.bucket, Region: grant.region, ...given });
    const result = { status: data.statusCode, headers: data.headers };
    return method === 'getObject' ? { ...result, body: data.Body.toString('utf-8') } : result;
  } catch (error) {
    return { status: error.statusCode || 0, code: error.code, message: error.message };
  }
}

(async () => {
  const results = [];
  for (const step of steps) results.push(await run(step));
  console.log(JSON.stringify(results));
})();
