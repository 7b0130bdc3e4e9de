resource "aws_sqs_queue" "dead_letters" {
  name                      = "${var.service}-jobs-dlq"
  message_retention_seconds = var.dlq_retention_seconds
  sqs_managed_sse_enabled   = true
  # By its name: the queue itself refers to this one.
  redrive_allow_policy = jsonencode({
    redrivePermission = "byQueue"
    sourceQueueArns   = ["arn:${local.partition}:sqs:${local.region}:${local.account}:${var.service}-jobs"]
  })
  lifecycle { prevent_destroy = true }
}

resource "aws_sqs_queue" "jobs" {
  name                       = "${var.service}-jobs"
  message_retention_seconds  = var.retention_seconds
  visibility_timeout_seconds = 60
  receive_wait_time_seconds  = 20
  sqs_managed_sse_enabled    = true
  redrive_allow_policy       = jsonencode({ redrivePermission = "denyAll" })
  # The host counts attempts itself, and dead-letters with the reason. This is for what no host can
  # hold.
  redrive_policy = jsonencode({
    deadLetterTargetArn = aws_sqs_queue.dead_letters.arn
    maxReceiveCount     = 1000
  })
  lifecycle { prevent_destroy = true }
}

resource "aws_dynamodb_table" "ledger" {
  # checkov:skip=CKV_AWS_119: AWS's own KMS key encrypts it; a key of one's own is a cost and a grant more
  name         = "${var.service}-ledger"
  billing_mode = "PAY_PER_REQUEST"
  hash_key     = "key"
  range_key    = "item"
  attribute {
    name = "key"
    type = "B"
  }
  attribute {
    name = "item"
    type = "S"
  }
  ttl {
    attribute_name = "expires_at"
    enabled        = true
  }
  point_in_time_recovery { enabled = true }
  server_side_encryption { enabled = true }
  lifecycle { prevent_destroy = true }
}
