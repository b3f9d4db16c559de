"""What puts Quartermaster on machines: engines, images, migrations, dashboards."""
