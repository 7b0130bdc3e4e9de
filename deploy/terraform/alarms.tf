# The alarms of docs/operate/runbook.md. A test compares each with that of
# deploy/cloudformation.yaml.
locals {
  of_service = { service = var.service }
  of_queue   = { service = var.service, queue = aws_sqs_queue.jobs.name }
  alarms = {
    LagHigh = {
      description = "Messages wait longer than the objective."
      metric      = "LagSeconds", dimensions = local.of_queue, statistic = "Maximum"
      periods     = 5, threshold = var.lag_objective_seconds, missing = "notBreaching"
    }
    NoPoll = {
      description = "No host has polled the queue for two minutes, or none says so."
      metric      = "LastPollAgeSeconds", dimensions = local.of_queue, statistic = "Minimum"
      periods     = 3, threshold = 120, missing = "breaching"
    }
    LeaseLost = {
      description = "A lease was lost while its work ran: it may run twice."
      metric      = "LeaseLosses", dimensions = local.of_queue, statistic = "Sum"
      periods     = 1, threshold = 0, missing = "notBreaching"
    }
    SettleFailing = {
      description = "Deletes or visibility changes fail."
      metric      = "SettleFailures", dimensions = local.of_queue, statistic = "Sum"
      periods     = 3, threshold = 0, missing = "notBreaching"
    }
    BreakerOpen = {
      description = "A dependency's breaker has been open for 15 minutes."
      metric      = "BreakersOpen", dimensions = local.of_service, statistic = "Maximum"
      periods     = 15, threshold = 0, missing = "notBreaching"
    }
    InFlightHigh = {
      description = "Over 80 % of the messages that SQS lets be in flight are."
      metric      = "InFlightShare", dimensions = local.of_queue, statistic = "Maximum"
      periods     = 5, threshold = 0.8, missing = "notBreaching"
    }
  }
  # Of SQS's own figures of the DLQ: they ring where no host is.
  dlq_alarms = {
    DlqGrowing = {
      description = "The DLQ is not empty, and grows."
      metric      = "ApproximateNumberOfMessagesVisible"
      expression  = "IF(figure > 0 AND DIFF(figure) > 0, 1, 0)"
      threshold   = 0
    }
    DlqOld = {
      description = "The oldest dead letter has been there for over half of the DLQ's retention."
      metric      = "ApproximateAgeOfOldestMessage"
      expression  = "figure / ${var.dlq_retention_seconds}"
      threshold   = 0.5
    }
  }
  alarm_actions = var.alarm_topic_arn == "" ? [] : [var.alarm_topic_arn]
}

resource "aws_cloudwatch_metric_alarm" "host" {
  for_each            = local.has_hosts ? local.alarms : {}
  alarm_name          = "${var.service}-${each.key}"
  alarm_description   = "${each.value.description} See ${each.key} in docs/operate/runbook.md."
  alarm_actions       = local.alarm_actions
  namespace           = "wasq"
  metric_name         = each.value.metric
  dimensions          = each.value.dimensions
  statistic           = each.value.statistic
  period              = 60
  evaluation_periods  = each.value.periods
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = each.value.missing
}

resource "aws_cloudwatch_metric_alarm" "dlq" {
  for_each            = local.dlq_alarms
  alarm_name          = "${var.service}-${each.key}"
  alarm_description   = "${each.value.description} See ${each.key} in docs/operate/runbook.md."
  alarm_actions       = local.alarm_actions
  evaluation_periods  = 1
  comparison_operator = "GreaterThanThreshold"
  threshold           = each.value.threshold
  treat_missing_data  = "notBreaching"
  metric_query {
    id          = "figure"
    return_data = false
    metric {
      namespace   = "AWS/SQS"
      metric_name = each.value.metric
      stat        = "Maximum"
      period      = 300
      dimensions  = { QueueName = aws_sqs_queue.dead_letters.name }
    }
  }
  metric_query {
    id          = "alarm"
    expression  = each.value.expression
    label       = each.key
    return_data = true
  }
}
