#!/bin/sh
# Drives an SQS endpoint with the aws cli. Usage: aws_cli.sh AWS ENDPOINT
set -eu
aws="$1 --endpoint-url $2 --region us-west-2 --output text sqs"
export AWS_ACCESS_KEY_ID=any AWS_SECRET_ACCESS_KEY=any AWS_CONFIG_FILE=/dev/null AWS_EC2_METADATA_DISABLED=true

fail() { echo "$1" >&2; exit 1; }

url=$($aws create-queue --queue-name cli --attributes VisibilityTimeout=60)
[ "$url" = "$2/000000000000/cli" ] || fail "create-queue gave $url"
$aws send-message --queue-url "$url" --message-body 'hello from the shell' \
    --message-attributes '{"type":{"DataType":"String","StringValue":"greeting"}}' >/dev/null
body=$($aws receive-message --queue-url "$url" --wait-time-seconds 5 --visibility-timeout 0 --query 'Messages[0].Body')
[ "$body" = 'hello from the shell' ] || fail "receive-message gave $body"
handle=$($aws receive-message --queue-url "$url" --query 'Messages[0].ReceiptHandle')
$aws delete-message --queue-url "$url" --receipt-handle "$handle"
count=$($aws get-queue-attributes --queue-url "$url" --attribute-names All --query Attributes.ApproximateNumberOfMessages)
[ "$count" = 0 ] || fail "$count messages are left"
$aws delete-queue --queue-url "$url"
if answer=$($aws get-queue-url --queue-name cli 2>&1); then fail "the deleted queue is still there"; fi
case "$answer" in *NonExistentQueue*) ;; *) fail "get-queue-url said $answer" ;; esac
