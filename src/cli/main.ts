#!/usr/bin/env node
console.log("torchforge");
