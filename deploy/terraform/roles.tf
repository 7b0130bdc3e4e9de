# What the hosts do with AWS, for tasks of ECS, and for a service account of EKS where a provider is
# named.
data "aws_iam_policy_document" "assume_worker" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
    condition {
      test     = "StringEquals"
      variable = "aws:SourceAccount"
      values   = [local.account]
    }
  }
  dynamic "statement" {
    for_each = local.has_oidc ? [regex("oidc-provider/(.+)$", var.oidc_provider_arn)[0]] : []
    content {
      actions = ["sts:AssumeRoleWithWebIdentity"]
      principals {
        type        = "Federated"
        identifiers = [var.oidc_provider_arn]
      }
      condition {
        test     = "StringEquals"
        variable = "${statement.value}:sub"
        values   = ["system:serviceaccount:${var.service_account}"]
      }
      condition {
        test     = "StringEquals"
        variable = "${statement.value}:aud"
        values   = ["sts.amazonaws.com"]
      }
    }
  }
}

resource "aws_iam_role" "worker" {
  name_prefix        = "${var.service}-worker-"
  assume_role_policy = data.aws_iam_policy_document.assume_worker.json
}

data "aws_iam_policy_document" "worker" {
  statement {
    sid       = "Jobs"
    resources = [aws_sqs_queue.jobs.arn]
    actions = [
      "sqs:GetQueueUrl",
      "sqs:GetQueueAttributes",
      "sqs:ReceiveMessage",
      "sqs:DeleteMessage",
      "sqs:ChangeMessageVisibility",
      "sqs:SendMessage",
    ]
  }
  statement {
    sid       = "DeadLetters"
    resources = [aws_sqs_queue.dead_letters.arn]
    actions = [
      "sqs:GetQueueUrl",
      "sqs:GetQueueAttributes",
      "sqs:SendMessage",
      "sqs:ReceiveMessage",
    ]
  }
  statement {
    sid       = "Ledger"
    resources = [aws_dynamodb_table.ledger.arn]
    actions = [
      "dynamodb:BatchWriteItem",
      "dynamodb:DeleteItem",
      "dynamodb:DescribeTable",
      "dynamodb:DescribeTimeToLive",
      "dynamodb:GetItem",
      "dynamodb:PutItem",
      "dynamodb:Query",
      "dynamodb:UpdateItem",
    ]
  }
}

resource "aws_iam_role_policy" "worker" {
  name   = "work"
  role   = aws_iam_role.worker.id
  policy = data.aws_iam_policy_document.worker.json
}

# A policy apart: the host's own calls and those that fetch its plugins are told apart.
data "aws_iam_policy_document" "fetch" {
  count = local.has_bucket ? 1 : 0
  statement {
    actions   = ["s3:ListBucket"]
    resources = ["arn:${local.partition}:s3:::${var.plugins_bucket}"]
    condition {
      test     = "StringLike"
      variable = "s3:prefix"
      values   = ["${var.plugins_prefix}/*"]
    }
  }
  statement {
    actions   = ["s3:GetObject"]
    resources = ["arn:${local.partition}:s3:::${var.plugins_bucket}/${var.plugins_prefix}/*"]
  }
}

resource "aws_iam_role_policy" "fetch" {
  count  = local.has_bucket ? 1 : 0
  name   = "fetch"
  role   = aws_iam_role.worker.id
  policy = data.aws_iam_policy_document.fetch[0].json
}

# The password of a registry of ECR is one for all that the account may see.
data "aws_iam_policy_document" "pull" {
  count = length(var.plugin_repository_arns) > 0 ? 1 : 0
  statement {
    actions   = ["ecr:GetAuthorizationToken"]
    resources = ["*"]
  }
  statement {
    actions   = ["ecr:BatchGetImage", "ecr:GetDownloadUrlForLayer"]
    resources = var.plugin_repository_arns
  }
}

resource "aws_iam_role_policy" "pull" {
  count  = length(var.plugin_repository_arns) > 0 ? 1 : 0
  name   = "pull"
  role   = aws_iam_role.worker.id
  policy = data.aws_iam_policy_document.pull[0].json
}

data "aws_iam_policy_document" "assume_replayer" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "AWS"
      identifiers = ["arn:${local.partition}:iam::${local.account}:root"]
    }
  }
}

resource "aws_iam_role" "replayer" {
  name_prefix        = "${var.service}-replayer-"
  assume_role_policy = data.aws_iam_policy_document.assume_replayer.json
}

data "aws_iam_policy_document" "replayer" {
  statement {
    sid       = "Jobs"
    resources = [aws_sqs_queue.jobs.arn]
    actions   = ["sqs:GetQueueUrl", "sqs:GetQueueAttributes", "sqs:SendMessage"]
  }
  statement {
    sid       = "DeadLetters"
    resources = [aws_sqs_queue.dead_letters.arn]
    actions = [
      "sqs:GetQueueUrl",
      "sqs:GetQueueAttributes",
      "sqs:ListDeadLetterSourceQueues",
      "sqs:ReceiveMessage",
      "sqs:DeleteMessage",
      "sqs:ChangeMessageVisibility",
    ]
  }
}

resource "aws_iam_role_policy" "replayer" {
  name   = "replay"
  role   = aws_iam_role.replayer.id
  policy = data.aws_iam_policy_document.replayer.json
}

# What ECS does to start a task: pull the image, write logs, read the secrets that are named.
data "aws_iam_policy_document" "assume_execution" {
  statement {
    actions = ["sts:AssumeRole"]
    principals {
      type        = "Service"
      identifiers = ["ecs-tasks.amazonaws.com"]
    }
  }
}

resource "aws_iam_role" "execution" {
  count              = local.has_hosts ? 1 : 0
  name_prefix        = "${var.service}-execution-"
  assume_role_policy = data.aws_iam_policy_document.assume_execution.json
}

resource "aws_iam_role_policy_attachment" "execution" {
  count      = local.has_hosts ? 1 : 0
  role       = aws_iam_role.execution[0].name
  policy_arn = "arn:${local.partition}:iam::aws:policy/service-role/AmazonECSTaskExecutionRolePolicy"
}

data "aws_iam_policy_document" "secrets" {
  statement {
    actions   = ["secretsmanager:GetSecretValue", "ssm:GetParameters"]
    resources = values(var.secrets)
  }
}

resource "aws_iam_role_policy" "secrets" {
  count  = local.has_hosts && length(var.secrets) > 0 ? 1 : 0
  name   = "secrets"
  role   = aws_iam_role.execution[0].id
  policy = data.aws_iam_policy_document.secrets.json
}
