# Everything runs on the Node that `npm ci` brings (the npm package "node"), whatever the machine has.
NODE := ./node_modules/.bin/node
BIN := ./node_modules/.bin

.DEFAULT_GOAL := help
.PHONY: help run test check format bench bench-operator bench-compare profile images images-compare e2e envtest

help: ## Show this list
	@grep -hE '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed -E 's/:.*## /\t/' | expand -t 16

node_modules/.package-lock.json: package.json package-lock.json
	npm ci --no-audit --no-fund
	@touch $@

run: node_modules/.package-lock.json ## Run the whole mail service on this machine, on loopback
	@exec $(NODE) cli/postrider.ts run --local

test: node_modules/.package-lock.json ## Run every test against real servers and clients
	@$(NODE) tools/run-tests.ts

envtest: node_modules/.package-lock.json ## Build a Kubernetes API server and an ACME authority for the tests, with Go, into ~/.cache/postrider
	@$(NODE) tools/build-envtest.ts

check: node_modules/.package-lock.json ## Types, lint, format, layers, import circles, unused exports, requirements, reference pages
	$(NODE) $(BIN)/tsc
	$(NODE) $(BIN)/oxlint --type-aware
	$(NODE) $(BIN)/prettier --check --log-level warn .
	$(NODE) tools/check-layers.ts
	$(NODE) tools/check-requirements.ts
	$(NODE) tools/generate-docs.ts --check
	$(NODE) tools/chart/generate.ts --check
	$(NODE) tools/generate-api-types.ts --check
	$(NODE) tools/generate-dashboards.ts --check
	$(NODE) $(BIN)/knip

format: node_modules/.package-lock.json ## Format every file
	$(NODE) $(BIN)/prettier --write --log-level warn .

images: node_modules/.package-lock.json ## Build the images with docker, podman or buildah; IMAGE_ARCHIVES=folder writes them as files too
	@$(NODE) tools/image/build-images.ts

images-compare: node_modules/.package-lock.json ## Build the images of the last commit twice, from scratch, and compare their bytes
	@$(NODE) tools/image/compare-images.ts

e2e: node_modules/.package-lock.json ## Install on the cluster of KUBECONFIG, or on one of kind's, and go through everything; E2E=short is a part
	@$(NODE) test/e2e/run-e2e.ts

bench: node_modules/.package-lock.json ## Measure us beside Postfix and Dovecot; ROW=name takes some rows, QUICK=1 is a look
	@$(NODE) test/bench/run-bench.ts

bench-operator: node_modules/.package-lock.json ## Measure the operator before a real API server; MAILBOXES=1000 is a look
	@$(NODE) test/bench-operator/run-bench-operator.ts

bench-compare: node_modules/.package-lock.json ## Compare two result files: A=file B=file
	@$(NODE) test/bench/run-compare.ts $(A) $(B)

profile: node_modules/.package-lock.json ## CPU profile and database statements of one row: ROW=name
	@$(NODE) test/bench/run-profile.ts
