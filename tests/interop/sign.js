// Signatures by the vendor's Node SDK. Reads a JSON list of its own options on stdin, prints the list of Authorization values.
'use strict';

const fs = require('fs');
const COS = require('cos-nodejs-sdk-v5');

const asks = JSON.parse(fs.readFileSync(0, 'utf-8'));
console.log(JSON.stringify(asks.map((ask) => COS.getAuthorization(ask))));
