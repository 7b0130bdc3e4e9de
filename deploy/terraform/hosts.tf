resource "aws_cloudwatch_log_group" "host" {
  # checkov:skip=CKV_AWS_158: Logs hold no body and no secret; CloudWatch encrypts them with a key of its own
  name              = "/${var.service}/host"
  retention_in_days = var.log_retention_days
}

resource "aws_ecs_cluster" "this" {
  count = local.has_hosts ? 1 : 0
  name  = var.service
  setting {
    name  = "containerInsights"
    value = "enabled"
  }
}

resource "aws_security_group" "host" {
  count       = local.has_hosts ? 1 : 0
  name_prefix = "${var.service}-host-"
  description = "wasq hosts call out over HTTPS; nothing calls them"
  vpc_id      = var.vpc_id
  egress {
    description = "AWS, and what handlers call"
    protocol    = "tcp"
    from_port   = 443
    to_port     = 443
    cidr_blocks = ["0.0.0.0/0"]
  }
  lifecycle { create_before_destroy = true }
}

locals {
  config = <<-TOML
    scope = "${var.service}"
    plugins_dir = "${local.has_bucket ? "/plugins" : "/opt/wasq/plugins"}"
    compile_cache = "/var/lib/wasq/compiled"
    drain_s = ${local.drain_seconds}
    oci = { plugins = ${jsonencode(var.plugins)}, cache = "/var/lib/wasq/oci" }
    ledger = { store = "dynamodb", table = "${aws_dynamodb_table.ledger.name}" }
    telemetry = { log_format = "json", emf = true, backlog_target = "${var.backlog_target}" }
    queues = { "${aws_sqs_queue.jobs.name}" = { ${var.queue_config} } }
    ${var.more_config}
  TOML
  fetch  = <<-SH
    printf '%s\n' "$WASQ_TOML" >/etc/wasq/wasq.toml
    if [ -n "$PLUGINS" ]; then aws s3 sync "$PLUGINS" /plugins --delete --no-progress; fi
    chown -R 65532:65532 /var/lib/wasq
    chmod 1777 /tmp
  SH
  mounts = { config = "/etc/wasq", plugins = "/plugins", state = "/var/lib/wasq", tmp = "/tmp" }
  logs = {
    logDriver = "awslogs"
    options = {
      "awslogs-group"         = aws_cloudwatch_log_group.host.name
      "awslogs-region"        = local.region
      "awslogs-stream-prefix" = "host"
    }
  }
}

resource "aws_ecs_task_definition" "host" {
  count                    = local.has_hosts ? 1 : 0
  family                   = var.service
  requires_compatibilities = ["FARGATE"]
  network_mode             = "awsvpc"
  cpu                      = var.cpu
  memory                   = var.memory_mib
  task_role_arn            = aws_iam_role.worker.arn
  execution_role_arn       = aws_iam_role.execution[0].arn
  runtime_platform {
    cpu_architecture        = "X86_64"
    operating_system_family = "LINUX"
  }
  dynamic "volume" {
    for_each = local.mounts
    content { name = volume.key }
  }
  container_definitions = jsonencode([
    {
      name                   = "fetch"
      image                  = var.fetch_image
      essential              = false
      readonlyRootFilesystem = true
      entryPoint             = ["/bin/sh", "-euc"]
      command                = [local.fetch]
      environment = [
        { name = "PLUGINS", value = local.has_bucket ? "s3://${var.plugins_bucket}/${var.plugins_prefix}/" : "" },
        { name = "WASQ_TOML", value = local.config },
      ]
      mountPoints      = [for name, path in local.mounts : { sourceVolume = name, containerPath = path, readOnly = false }]
      logConfiguration = local.logs
    },
    {
      name                   = "host"
      image                  = var.image
      essential              = true
      dependsOn              = [{ containerName = "fetch", condition = "SUCCESS" }]
      user                   = "65532:65532"
      readonlyRootFilesystem = true
      stopTimeout            = local.stop_seconds
      linuxParameters        = { capabilities = { drop = ["ALL"] }, initProcessEnabled = false }
      environment            = [{ name = "WASQ_CONFIG", value = "/etc/wasq/wasq.toml" }]
      secrets                = [for name, arn in var.secrets : { name = name, valueFrom = arn }]
      healthCheck = {
        command     = ["CMD", "/usr/bin/wasq", "health"]
        interval    = 30
        timeout     = 5
        retries     = 3
        startPeriod = 60
      }
      mountPoints = [
        for name, path in local.mounts :
        { sourceVolume = name, containerPath = path, readOnly = contains(["config", "plugins"], name) }
      ]
      logConfiguration = local.logs
    },
  ])
  lifecycle {
    precondition {
      condition     = var.vpc_id != "" && length(var.subnet_ids) > 0
      error_message = "Hosts need a VPC (vpc_id) and subnets in it (subnet_ids)."
    }
  }
}

resource "aws_ecs_service" "hosts" {
  count                              = local.has_hosts ? 1 : 0
  name                               = var.service
  cluster                            = aws_ecs_cluster.this[0].id
  task_definition                    = aws_ecs_task_definition.host[0].arn
  launch_type                        = "FARGATE"
  desired_count                      = var.min_tasks
  deployment_minimum_healthy_percent = 100
  deployment_maximum_percent         = 200
  deployment_circuit_breaker {
    enable   = true
    rollback = true
  }
  network_configuration {
    assign_public_ip = false
    security_groups  = [aws_security_group.host[0].id]
    subnets          = var.subnet_ids
  }
  # The scaling below says how many.
  lifecycle { ignore_changes = [desired_count] }
}

resource "aws_appautoscaling_target" "hosts" {
  count              = local.has_hosts ? 1 : 0
  service_namespace  = "ecs"
  scalable_dimension = "ecs:service:DesiredCount"
  resource_id        = "service/${aws_ecs_cluster.this[0].name}/${aws_ecs_service.hosts[0].name}"
  min_capacity       = var.min_tasks
  max_capacity       = var.max_tasks
}

resource "aws_appautoscaling_policy" "hosts_wanted" {
  count              = local.has_hosts ? 1 : 0
  name               = "${var.service}-hosts-wanted"
  policy_type        = "TargetTrackingScaling"
  service_namespace  = aws_appautoscaling_target.hosts[0].service_namespace
  scalable_dimension = aws_appautoscaling_target.hosts[0].scalable_dimension
  resource_id        = aws_appautoscaling_target.hosts[0].resource_id
  target_tracking_scaling_policy_configuration {
    # What the hosts themselves say: hosts that the work needs, of those that there are. Where a
    # limit holds the messages back, it is not over 1, whatever the backlog.
    target_value       = 1
    scale_out_cooldown = 60
    scale_in_cooldown  = 300
    customized_metric_specification {
      namespace   = "wasq"
      metric_name = "HostsWantedShare"
      statistic   = "Average"
      dimensions {
        name  = "service"
        value = var.service
      }
    }
  }
}
