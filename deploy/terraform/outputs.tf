output "queue_name" {
  description = "Where producers send"
  value       = aws_sqs_queue.jobs.name
}

output "queue_url" {
  description = "The queue's URL"
  value       = aws_sqs_queue.jobs.url
}

output "dlq_name" {
  description = "The dead letters"
  value       = aws_sqs_queue.dead_letters.name
}

output "ledger_table" {
  description = "The ledger's table"
  value       = aws_dynamodb_table.ledger.name
}

output "worker_role_arn" {
  description = "The hosts' role: serviceAccount.roleArn of the Helm chart"
  value       = aws_iam_role.worker.arn
}

output "replayer_role_arn" {
  description = "The role to assume for wasq dlq"
  value       = aws_iam_role.replayer.arn
}
