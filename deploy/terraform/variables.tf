# The names and the figures are those of deploy/cloudformation.yaml.

variable "service" {
  description = "Names everything here, and is the hosts' scope. Another name makes another, independent service."
  type        = string
  default     = "wasq"
  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,30}$", var.service))
    error_message = "service must begin with a letter, and have small letters, digits and hyphens: 31 at most."
  }
}

variable "image" {
  description = "The host's image. Empty makes queues, table and roles, and no hosts: those may be on Kubernetes."
  type        = string
  default     = ""
}

variable "vpc_id" {
  description = "The VPC of the hosts. Needed with an image."
  type        = string
  default     = ""
}

variable "subnet_ids" {
  description = "Private subnets with a way to SQS, DynamoDB, S3, ECR and CloudWatch Logs. Needed with an image."
  type        = list(string)
  default     = []
}

variable "oidc_provider_arn" {
  description = "The OIDC provider of an EKS cluster whose hosts take the worker's role (IRSA). Empty: the role is for ECS alone."
  type        = string
  default     = ""
}

variable "service_account" {
  description = "The hosts' service account on EKS, as NAMESPACE:NAME. Needed with oidc_provider_arn."
  type        = string
  default     = "wasq:wasq"
}

variable "plugins" {
  description = "Plugins in registries: oci://REGISTRY/REPOSITORY:TAG, or with @sha256:DIGEST."
  type        = list(string)
  default     = []
}

variable "plugin_repository_arns" {
  description = "The ECR repositories of these plugins, from which the hosts may pull. Other registries need none."
  type        = list(string)
  default     = []
}

variable "plugins_bucket" {
  description = "The S3 bucket of the plugins. Empty takes those in the image, under /opt/wasq/plugins."
  type        = string
  default     = ""
}

variable "plugins_prefix" {
  description = "Where in the bucket the plugins are."
  type        = string
  default     = "plugins"
}

variable "fetch_image" {
  description = "The image with the AWS CLI that fetches plugins and writes the config before the host starts."
  type        = string
  default     = "public.ecr.aws/aws-cli/aws-cli:2.31.0"
}

variable "queue_config" {
  description = "What wasq.toml says of the queue, such as concurrency = 64, default_type = \"order\"."
  type        = string
  default     = ""
}

variable "more_config" {
  description = "More of wasq.toml, such as the [plugins] tables with their grants."
  type        = string
  default     = ""
}

variable "secrets" {
  description = "Variables of the host by the ARNs of their secrets, in Secrets Manager or Parameter Store. The execution role may read these."
  type        = map(string)
  default     = {}
}

variable "cpu" {
  description = "CPU units of a host."
  type        = number
  default     = 1024
}

variable "memory_mib" {
  description = "Memory of a host."
  type        = number
  default     = 2048
}

variable "min_tasks" {
  description = "The fewest hosts."
  type        = number
  default     = 1
}

variable "max_tasks" {
  description = "The most hosts."
  type        = number
  default     = 10
}

variable "backlog_target" {
  description = "In what time a backlog is to be worked off, from 10s to 24h. There are as many hosts as that takes."
  type        = string
  default     = "2m"
  validation {
    condition     = can(regex("^[1-9][0-9]*(s|m|h)$", var.backlog_target))
    error_message = "backlog_target must be a number with s, m or h, such as 2m."
  }
}

variable "lag_objective_seconds" {
  description = "The age of messages at their receipt that raises an alarm."
  type        = number
  default     = 300
}

variable "retention_seconds" {
  description = "How long the queue keeps a message."
  type        = number
  default     = 345600
}

variable "dlq_retention_seconds" {
  description = "How long the DLQ keeps one. SQS's most, since what passes is lost."
  type        = number
  default     = 1209600
}

variable "log_retention_days" {
  description = "How long logs are kept."
  type        = number
  default     = 365
}

variable "alarm_topic_arn" {
  description = "ARN of the SNS topic that is told of alarms. Empty tells nobody."
  type        = string
  default     = ""
}

locals {
  has_hosts  = var.image != ""
  has_bucket = var.plugins_bucket != ""
  has_oidc   = var.oidc_provider_arn != ""
  account    = data.aws_caller_identity.current.account_id
  partition  = data.aws_partition.current.partition
  region     = data.aws_region.current.id
  # More than drain_s, and what a shutdown takes beside it.
  drain_seconds = 20
  stop_seconds  = 30
}
